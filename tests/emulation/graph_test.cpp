#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <numeric>
#include <vector>

#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/panels.hpp"
#include "support/cuda_emulation/cuda_platform.hpp"

// Passes that are gathered and replayed as graphs do what their work does piece by piece.
namespace gridmill::cuda {
namespace {

struct AddArgs {
  const int* values = nullptr;
  int count = 0;
  int* sum = nullptr;
  bool operator==(const AddArgs& other) const = default;
};

/// sum = 10 sum + all values: the order of launches shows.
void add_kernel(AddArgs args) {
  if (thread_index() == 0) {
    *args.sum = std::accumulate(args.values, args.values + args.count, 10 * *args.sum);
  }
}

class Graphs : public ::testing::Test {
 protected:
  Graphs() { fill_zero(stream_.direct(), memory_, sizeof(int)); }
  ~Graphs() override {
    stream_.synchronize();
    device_free(memory_);
  }
  void add(std::vector<int> values) {
    const int* staged = stream_.stage(std::span<const int>(values));
    launch(stream_.handle(), add_kernel, {1, 1, 1}, 32, 0,
           AddArgs{staged, static_cast<int>(values.size()), reinterpret_cast<int*>(memory_)});
  }
  int sum() {
    int value = -1;
    stream_.download(memory_, std::as_writable_bytes(std::span(&value, 1)));
    stream_.synchronize();
    return value;
  }
  std::size_t graphs() const { return emulation::counts().graphs - before_.graphs; }

  CudaStream stream_;
  std::byte* memory_ = device_allocate(sizeof(int));
  emulation::Counts before_ = emulation::counts();
};

TEST_F(Graphs, AreMadeOfAPassThatComesAgainAndReadWhatWasStagedForIt) {
  int expected = 0;
  for (int pass = 0; pass < 5; ++pass) {
    stream_.begin_pass(1);
    add({pass, 2});
    add({7});
    const int found = sum();
    stream_.end_pass();
    expected = 10 * (10 * expected + pass + 2) + 7;
    EXPECT_EQ(found, expected) << pass;
    expected %= 1000;
    *reinterpret_cast<int*>(memory_) = expected;
  }
  // The ring gets its memory in the first pass; the second is seen for the first time.
  EXPECT_EQ(graphs(), 3U);
}

TEST_F(Graphs, AreNotTakenForAPassWithOtherArguments) {
  for (int pass = 0; pass < 4; ++pass) {
    stream_.begin_pass(1);
    add(std::vector<int>(static_cast<std::size_t>(pass + 1), 1));
    EXPECT_EQ(sum(), pass + 1);
    stream_.end_pass();
    *reinterpret_cast<int*>(memory_) = 0;
  }
  EXPECT_EQ(graphs(), 0U);
}

TEST_F(Graphs, AreNotMadeOfLongPassesNorOutsideOfPasses) {
  for (int pass = 0; pass < 3; ++pass) {
    stream_.begin_pass(257);
    add({1});
    stream_.end_pass();
    add({2});
    stream_.synchronize();
  }
  EXPECT_EQ(sum(), 121212);
  EXPECT_EQ(graphs(), 0U);
}

/// Arguments with arrays and with bytes between members, as those of products are.
struct ScatteredArgs {
  std::byte before{};
  PanelTable table{};
  bool flag = false;
  float factor = 0;
  int* seen = nullptr;
  bool operator==(const ScatteredArgs& other) const = default;
};

/// Whether everything has arrived as `filled` made it.
ScatteredArgs filled(int* seen) {
  ScatteredArgs args{std::byte{7}, {}, true, 0.5F, seen};
  for (std::int64_t i = 0; i < PanelTable::kMostRuns; ++i) {
    args.table.runs[i] = {-i - 1, ~i, std::bit_cast<const std::byte*>(~i)};
  }
  args.table.count = -1;
  args.table.panel_bytes = -2;
  return args;
}
void compare_kernel(ScatteredArgs args) {
  if (thread_index() == 0) *args.seen += args == filled(args.seen) ? 1 : 1000;
}

TEST_F(Graphs, GiveKernelsEveryByteOfTheirArguments) {
  auto* seen = reinterpret_cast<int*>(memory_);
  for (int pass = 0; pass < 3; ++pass) {
    stream_.begin_pass(1);
    launch(stream_.handle(), compare_kernel, {1, 1, 1}, 32, 0, filled(seen));
    EXPECT_EQ(sum(), pass + 1);
    stream_.end_pass();
  }
  EXPECT_GE(graphs(), 1U);
}

TEST_F(Graphs, AreForgottenWhenThereAreTooMany) {
  const std::size_t before = emulation::counts().allocations;
  for (int round = 0; round < 2; ++round) {
    for (int kind = 1; kind <= 200; ++kind) {
      for (int twice = 0; twice < 2; ++twice) {
        stream_.begin_pass(1);
        add(std::vector<int>(static_cast<std::size_t>(kind), 1));
        EXPECT_EQ(sum(), kind);
        stream_.end_pass();
        *reinterpret_cast<int*>(memory_) = 0;
      }
    }
  }
  EXPECT_EQ(graphs(), 400U);
  EXPECT_GE(emulation::counts().allocations - before, 400U);  // the first ones were made again
}

TEST_F(Graphs, KeepMoreArraysApartThanTheRingHas) {
  for (int pass = 0; pass < 3; ++pass) {
    *reinterpret_cast<int*>(memory_) = 0;
    stream_.begin_pass(1);
    int expected = 0;
    for (int i = 0; i < 200; ++i) {
      add({i, -10 * expected});  // brings the sum back to i
      expected = i;
    }
    EXPECT_EQ(sum(), 199);
    stream_.end_pass();
  }
}

TEST_F(Graphs, HaveNothingOfAPassThatFailed) {
  stream_.begin_pass(1);
  add({5});  // and then something throws
  stream_.begin_pass(1);
  add({5});
  EXPECT_EQ(sum(), 5);
  stream_.end_pass();
}

TEST_F(Graphs, AreSubmittedBeforeAnotherStreamGoesOn) {
  CudaStream other;
  stream_.begin_pass(1);
  add({4});
  other.follow(stream_);
  int value = -1;
  other.download(memory_, std::as_writable_bytes(std::span(&value, 1)));
  other.synchronize();
  EXPECT_EQ(value, 4);
  stream_.end_pass();
}

}  // namespace
}  // namespace gridmill::cuda
