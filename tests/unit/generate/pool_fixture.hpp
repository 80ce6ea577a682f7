#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "gridmill/base/philox.hpp"
#include "unit/generate/generator_fixture.hpp"

namespace gridmill::test {

constexpr std::int64_t kPage = kKvPagePositions;
/// Pages of the longest row.
constexpr std::int64_t kRowPages = 5;
constexpr std::int64_t kLongestRow = kRowPages * kPage;

/// A llama with room for rows of several pages.
inline Json pool_config() {
  Json config = llama_config();
  config["max_length"] = kLongestRow;
  return config;
}

/// Pages that the slots of a state hold, counted from the spans that a model was fed: for backends
/// without a pool, and against the generator's own account.
struct PageCount {
  std::vector<std::int64_t> held;  ///< by slot
  std::int64_t peak = 0;           ///< of all slots together
};

class CountedState final : public BatchState {
 public:
  CountedState(std::unique_ptr<BatchState> state, PageCount& count)
      : state_(std::move(state)), count_(count) {
    count_.held.assign(static_cast<std::size_t>(state_->slots()), 0);
  }
  [[nodiscard]] int slots() const override { return state_->slots(); }
  [[nodiscard]] std::int32_t position(SlotId slot) const override { return state_->position(slot); }
  void reset(SlotId slot) override {
    count_.held.at(static_cast<std::size_t>(slot)) = 0;
    state_->reset(slot);
  }
  [[nodiscard]] std::vector<float> save(SlotId slot) override { return state_->save(slot); }
  void load(SlotId slot, std::int32_t position, std::span<const float> saved) override {
    state_->load(slot, position, saved);
  }
  [[nodiscard]] BatchState& state() { return *state_; }

 private:
  std::unique_ptr<BatchState> state_;
  PageCount& count_;
};

/// A model whose states count their pages.
class CountedModel final : public Model {
 public:
  CountedModel(const Model& model, PageCount& count) : model_(model), count_(count) {}
  [[nodiscard]] const ModelInfo& info() const override { return model_.info(); }
  [[nodiscard]] ModelParameters parameters(int tp_size, int tp_rank) const override {
    return model_.parameters(tp_size, tp_rank);
  }
  [[nodiscard]] std::unique_ptr<BatchState> make_pooled_state(
      ExecutionContext& context, int slots, std::int64_t max_length,
      std::int64_t pool_positions) const override {
    return std::make_unique<CountedState>(
        model_.make_pooled_state(context, slots, max_length, pool_positions), count_);
  }
  [[nodiscard]] std::size_t state_bytes_per_slot(int tp_size, std::int64_t max_length,
                                                 DType compute_dtype,
                                                 KvExtent extent) const override {
    return model_.state_bytes_per_slot(tp_size, max_length, compute_dtype, extent);
  }
  void forward(ExecutionContext& context, std::span<const RowSpan> spans, BatchState& state,
               ParameterSource& parameters, const HeadRequest& head) const override {
    for (const RowSpan& span : spans) {
      const auto length = span.position + static_cast<std::int64_t>(span.tokens.size());
      count_.held.at(static_cast<std::size_t>(span.slot)) = (length + kPage - 1) / kPage;
    }
    count_.peak = std::max(
        count_.peak, std::accumulate(count_.held.begin(), count_.held.end(), std::int64_t{0}));
    model_.forward(context, spans, dynamic_cast<CountedState&>(state).state(), parameters, head);
  }

 private:
  const Model& model_;
  PageCount& count_;
};

/// Runs `requests` as a replica does: claims as many as there are free slots, and admits them all.
/// No row may come twice, and every claimed one has to be in flight until it comes.
inline std::map<RowId, Completion> run_claims(Generator& generator,
                                              const std::vector<Request>& requests) {
  std::map<RowId, Completion> done;
  std::set<RowId> claimed;
  auto next = requests.begin();
  while (next != requests.end() || !generator.idle()) {
    for (int free = generator.free_slots(); free > 0 && next != requests.end(); --free, ++next) {
      claimed.insert(next->row);
      EXPECT_TRUE(generator.admit(*next)) << "row " << next->row << " was claimed";
    }
    for (Completion& completion : generator.step()) {
      EXPECT_EQ(claimed.erase(completion.row), 1U) << "row " << completion.row;
      done[completion.row] = std::move(completion);
    }
    std::set<RowId> in_flight;
    for (const InFlightRow& row : generator.in_flight()) in_flight.insert(row.row);
    EXPECT_EQ(in_flight, claimed);
    if (::testing::Test::HasFailure()) break;
  }
  return done;
}

inline void expect_same_rows(const std::map<RowId, Completion>& found,
                             const std::map<RowId, Completion>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [row, completion] : expected) {
    ASSERT_TRUE(found.contains(row)) << row;
    EXPECT_EQ(found.at(row).tokens, completion.tokens) << row;
    EXPECT_EQ(found.at(row).logprobs, completion.logprobs) << row;
    EXPECT_EQ(found.at(row).reason, completion.reason) << row;
    EXPECT_EQ(found.at(row).prefix_length, completion.prefix_length) << row;
  }
}

/// Rows of random lengths: greedy and sampled ones, with and without logprobs, some of which end
/// early or have a limit of new tokens.
inline std::vector<Request> random_requests(std::uint32_t seed, std::size_t count,
                                            std::int64_t longest = kLongestRow) {
  std::vector<Request> requests;
  for (std::size_t i = 0; i < count; ++i) {
    const auto random = philox4x32({static_cast<std::uint32_t>(i), 0, 0, 0}, {seed, 0});
    const auto prompt = static_cast<std::size_t>(1 + random[0] % (longest / 5));
    const std::int64_t room = longest - static_cast<std::int64_t>(prompt);
    Request request = request_of(i, walk(prompt, 300, seed * 100 + i),
                                 longest - static_cast<std::int64_t>(random[1]) % (room / 2));
    request.sampling.seed = seed;
    request.sampling.temperature = random[2] % 3 == 0 ? 0.0F : 1.0F;
    request.logprobs = random[2] % 2 == 0;
    if (random[3] % 3 == 0) request.limits.eod_token_ids = {17, 42, 99};
    if (random[3] % 5 == 0) request.limits.max_new_tokens = 1 + random[3] % 150;
    requests.push_back(std::move(request));
  }
  return requests;
}

/// Every third row resumes: some of what it generated is given as a replay.
inline void give_replays(std::vector<Request>& requests,
                         const std::map<RowId, Completion>& expected) {
  for (std::size_t i = 0; i < requests.size(); i += 3) {
    const Completion& row = expected.at(requests[i].row);
    const auto first = row.tokens.begin() + row.prefix_length;
    requests[i].replay.assign(first, first + (row.tokens.end() - first) * 2 / 3);
  }
}

}  // namespace gridmill::test
