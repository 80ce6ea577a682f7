#include "gridmill/grid/collectives.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/grid/mpi_exchange.hpp"
#include "gridmill/grid/transfer.hpp"

namespace gridmill {
namespace {

class CollectivesTest : public testing::Test {
 protected:
  Communicator world_ = Communicator::duplicate(MPI_COMM_WORLD);
  int rank_ = world_.rank();
  int ranks_ = world_.size();
};

TEST_F(CollectivesTest, AgreeLetsEverybodyPassWhenNobodyFailed) {
  EXPECT_NO_THROW(agree(world_, std::nullopt));
  EXPECT_EQ(agree_on(world_, [&] { return rank_ * 2; }), rank_ * 2);
}

TEST_F(CollectivesTest, AnErrorOfOneRankIsThrownByAllWithKindAndMessage) {
  for (int failing = 0; failing < ranks_; ++failing) {
    try {
      agree_on(world_, [&] {
        if (rank_ == failing) throw FormatError("bad file on rank " + std::to_string(failing));
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const FormatError& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      EXPECT_EQ(std::string(error.what()), "bad file on rank " + std::to_string(failing));
    }
  }
}

TEST_F(CollectivesTest, TheLowestFailingRankIsHeard) {
  try {
    agree_on(world_, [&] { throw IoError("rank " + std::to_string(rank_)); });
    ADD_FAILURE() << "nothing was thrown";
  } catch (const IoError& error) {
    EXPECT_EQ(std::string(error.what()), "rank 0");
  }
}

TEST_F(CollectivesTest, ForeignExceptionsBecomeErrorsOfOurs) {
  EXPECT_THROW(agree_on(world_,
                        [&] {
                          if (rank_ == ranks_ - 1) throw std::bad_alloc();
                        }),
               ResourceError);
  EXPECT_THROW(agree_on(world_,
                        [&] {
                          if (rank_ == ranks_ - 1) throw std::out_of_range("index");
                        }),
               InternalError);
}

TEST_F(CollectivesTest, BroadcastsTextsVectorsAndValues) {
  const int root = ranks_ - 1;
  std::string text = rank_ == root ? std::string("a\0b", 3) : "something else, longer";
  broadcast(world_, root, text);
  EXPECT_EQ(text, std::string("a\0b", 3));
  std::vector<std::int64_t> values(rank_ == root ? 5 : 1, rank_);
  broadcast(world_, root, values);
  EXPECT_EQ(values, std::vector<std::int64_t>(5, root));
  double value = rank_ + 0.5;
  broadcast(world_, root, value);
  EXPECT_EQ(value, root + 0.5);
}

TEST_F(CollectivesTest, GathersValuesAndTextsInRankOrder) {
  std::vector<int> ranks(static_cast<std::size_t>(ranks_));
  std::iota(ranks.begin(), ranks.end(), 0);
  EXPECT_EQ(all_gather(world_, rank_), ranks);
  const auto texts = all_gather_text(world_, std::string(static_cast<std::size_t>(rank_), 'x'));
  for (int rank = 0; rank < ranks_; ++rank) {
    EXPECT_EQ(texts[static_cast<std::size_t>(rank)].size(), static_cast<std::size_t>(rank));
  }
}

TEST_F(CollectivesTest, GathersPartsOfDifferentSizes) {
  std::vector<std::int64_t> counts;
  std::vector<std::uint16_t> expected;
  for (int rank = 0; rank < ranks_; ++rank) {
    counts.push_back(rank % 3);
    for (int i = 0; i < rank % 3; ++i) {
      expected.push_back(static_cast<std::uint16_t>(rank * 10 + i));
    }
  }
  std::vector<std::uint16_t> part;
  part.reserve(2);
  for (int i = 0; i < rank_ % 3; ++i) part.push_back(static_cast<std::uint16_t>(rank_ * 10 + i));
  std::vector<std::uint16_t> whole(expected.size());
  all_gather_elements(world_, std::as_bytes(std::span(part)), counts, 2,
                      std::as_writable_bytes(std::span(whole)));
  EXPECT_EQ(whole, expected);
}

TEST_F(CollectivesTest, SendsDifferentPartsToEachRank) {
  // Rank a sends (a + b) % 3 copies of 100 a + b to rank b.
  std::vector<std::int64_t> send_counts, receive_counts;
  std::vector<int> send, expected;
  for (int other = 0; other < ranks_; ++other) {
    const int copies = (rank_ + other) % 3;
    send_counts.push_back(copies);
    receive_counts.push_back(copies);
    send.insert(send.end(), static_cast<std::size_t>(copies), 100 * rank_ + other);
    expected.insert(expected.end(), static_cast<std::size_t>(copies), 100 * other + rank_);
  }
  std::vector<int> receive(expected.size());
  all_to_all_elements(world_, std::as_bytes(std::span(send)), send_counts, sizeof(int),
                      receive_counts, std::as_writable_bytes(std::span(receive)));
  EXPECT_EQ(receive, expected);
}

TEST_F(CollectivesTest, ReportsTheSpreadOverRanks) {
  const std::vector<double> values = {static_cast<double>(rank_), 1.0};
  const std::vector<Spread> spreads = spread_over_ranks(world_, values);
  EXPECT_EQ(spreads[0].min, 0);
  EXPECT_EQ(spreads[0].max, ranks_ - 1);
  EXPECT_DOUBLE_EQ(spreads[0].mean, (ranks_ - 1) / 2.0);
  EXPECT_DOUBLE_EQ(spreads[1].mean, 1.0);
  EXPECT_TRUE(any_rank(world_, rank_ == 0));
  EXPECT_FALSE(any_rank(world_, false));
  EXPECT_EQ(sum_over_ranks(world_, 3), 3U * static_cast<unsigned>(ranks_));
}

TEST_F(CollectivesTest, TransfersPiecesBetweenPairsInOrder) {
  // Everybody sends two pieces to the next rank.
  const int next = (rank_ + 1) % ranks_;
  const int previous = (rank_ + ranks_ - 1) % ranks_;
  std::vector<int> first(3, rank_), second(5, rank_ + 100), got_first(3), got_second(5);
  const std::vector<OutgoingPiece> out = {{next, std::as_bytes(std::span(first))},
                                          {next, {}},
                                          {next, std::as_bytes(std::span(second))}};
  const std::vector<IncomingPiece> in = {{previous, std::as_writable_bytes(std::span(got_first))},
                                         {previous, std::as_writable_bytes(std::span(got_second))}};
  transfer_pieces(world_, out, in);
  EXPECT_EQ(got_first, std::vector<int>(3, previous));
  EXPECT_EQ(got_second, std::vector<int>(5, previous + 100));
}

TEST_F(CollectivesTest, AGatherGoesOnWhileOthersRun) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(ranks_));
  std::iota(counts.begin(), counts.end(), 1);
  const auto total = static_cast<std::size_t>(ranks_ * (ranks_ + 1) / 2);
  std::vector<std::int64_t> part(static_cast<std::size_t>(rank_ + 1), rank_);
  std::vector<std::int64_t> whole(total, -1), expected;
  PendingGather gather(world_, std::as_bytes(std::span(part)), counts, sizeof(std::int64_t),
                       std::as_writable_bytes(std::span(whole)));
  EXPECT_EQ(sum_over_ranks(world_, 1), static_cast<unsigned>(ranks_));
  static_cast<void>(gather.test());
  gather.wait();
  EXPECT_TRUE(gather.test());
  for (int rank = 0; rank < ranks_; ++rank) {
    expected.insert(expected.end(), static_cast<std::size_t>(rank) + 1, rank);
  }
  EXPECT_EQ(whole, expected);
}

class NoStream final : public Stream {
 public:
  void synchronize() override { ++synchronized; }
  int synchronized = 0;
};

TEST_F(CollectivesTest, TheExchangeGathersInPlaceAndThroughHostStaging) {
  NoStream stream;
  const auto own = static_cast<std::size_t>(rank_);
  std::vector<int> expected(static_cast<std::size_t>(ranks_));
  std::iota(expected.begin(), expected.end(), 0);

  MpiExchange direct(world_);
  std::vector<int> whole(expected.size(), -1);
  whole[own] = rank_;
  direct.all_gather(stream, reinterpret_cast<const std::byte*>(&whole[own]), sizeof(int),
                    reinterpret_cast<std::byte*>(whole.data()));
  EXPECT_EQ(whole, expected);
  EXPECT_EQ(stream.synchronized, 1);
  EXPECT_EQ(direct.bytes_received(), sizeof(int) * (expected.size() - 1));
  EXPECT_TRUE(direct.any(rank_ == ranks_ - 1));

  // A "device" whose memory holds complements.
  MpiExchange staged(world_,
                     HostStaging{[](Stream&, const std::byte* device, std::span<std::byte> host) {
                                   for (std::byte& byte : host) byte = ~*device++;
                                 },
                                 [](Stream&, std::span<const std::byte> host, std::byte* device) {
                                   for (const std::byte byte : host) *device++ = ~byte;
                                 }});
  int part = ~rank_;
  staged.all_gather(stream, reinterpret_cast<const std::byte*>(&part), sizeof(int),
                    reinterpret_cast<std::byte*>(whole.data()));
  for (int& value : whole) value = ~value;
  EXPECT_EQ(whole, expected);
  EXPECT_EQ(stream.synchronized, 2);
}

TEST_F(CollectivesTest, ARankThatFailedInAStageStillMakesItsCollectiveCalls) {
  for (int failing = 0; failing < ranks_; ++failing) {
    std::string message;
    int local_work = 0;
    CollectiveStage stage(world_);
    stage.local([&] {
      if (rank_ == failing) throw FormatError("rank " + std::to_string(rank_) + " cannot read");
      ++local_work;
    });
    EXPECT_EQ(stage.failed(), rank_ == failing);
    EXPECT_EQ(sum_over_ranks(world_, 1), static_cast<std::uint64_t>(ranks_));
    stage.local([&] { ++local_work; });
    try {
      stage.finish();
    } catch (const FormatError& error) {
      message = error.what();
    }
    EXPECT_EQ(message, "rank " + std::to_string(failing) + " cannot read");
    EXPECT_EQ(local_work, rank_ == failing ? 0 : 2);
  }
}

TEST_F(CollectivesTest, AGroupThatFailedInAStageFailsTheOthersToo) {
  const Communicator half = Communicator::split(world_.get(), rank_ % 2, rank_);
  const int failing = ranks_ > 1 ? 1 : 0;
  CollectiveStage stage(world_);
  // The second call is one of all groups, although the first has failed in one.
  stage.collective([&] {
    agree_on(half, [&] {
      if (rank_ % 2 == failing && half.rank() == 0) throw ResourceError("no room in a group");
    });
  });
  stage.collective([&] { half.barrier(); });
  EXPECT_THROW(stage.finish(), ResourceError);
}

}  // namespace
}  // namespace gridmill
