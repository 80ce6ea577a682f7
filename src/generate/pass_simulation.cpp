#include "gridmill/generate/pass_simulation.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "generate/page_pool_detail.hpp"
#include "generate/pass_plan_detail.hpp"
#include "generate/sequence_detail.hpp"

namespace gridmill {

namespace {

using generate_detail::PageDemand;
using generate_detail::pages_of;

/// A row in flight, as Sequence without tokens.
struct SimulatedRow {
  std::int64_t prompt = 0;
  std::int64_t tokens = 0;   ///< known so far
  std::int64_t longest = 0;  ///< prompt and generated
  std::int64_t fed = 0;

  [[nodiscard]] std::int64_t pending() const { return tokens - fed; }
  /// Of a share of the pass: a prompt and what was generated behind it are not fed in one pass.
  [[nodiscard]] std::int64_t piece(std::int64_t share) const {
    return fed < prompt ? std::min(share, prompt - fed) : share;
  }
  [[nodiscard]] PageDemand demand(std::int64_t first) const {
    const std::int64_t needs = pages_of(tokens);
    return {.needs = needs,
            .wants = std::min(needs + generate_detail::kPagesToGrowInto, pages_of(longest)),
            .first = first};
  }
};

/// Generator's scheduling.
class Simulation {
 public:
  Simulation(std::span<const RowLength> lengths, const SlotPlan& slots,
             const PassSeconds& pass_seconds)
      : lengths_(lengths),
        slots_(slots),
        pass_seconds_(pass_seconds),
        pool_pages_(slots.pool_positions / kKvPagePositions) {}

  PassTotals run(std::uint64_t rows) {
    while (next_ < rows || !rows_.empty()) {
      admit(rows);
      share_pool();
      pass();
    }
    return totals_;
  }

 private:
  std::vector<PageDemand> demands() const {
    std::vector<PageDemand> all;
    all.reserve(rows_.size());
    for (std::size_t i = 0; i < rows_.size(); ++i) all.push_back(rows_[i].demand(first_[i]));
    return all;
  }

  void admit(std::uint64_t rows) {
    auto room = static_cast<std::int64_t>(slots_.slots) - static_cast<std::int64_t>(rows_.size());
    if (pool_pages_ > 0 && room > 0) {
      room = std::min(room, generate_detail::room_for_more(demands(), live_, pool_pages_,
                                                           pages_of(slots_.longest)));
    }
    if (rows_.empty()) room = std::max<std::int64_t>(room, 1);
    for (; room > 0 && next_ < rows; --room, ++next_) {
      const RowLength& length = lengths_[static_cast<std::size_t>(next_ % lengths_.size())];
      const std::int64_t prompt = std::max<std::int64_t>(length.prompt, 1);
      rows_.push_back({.prompt = prompt,
                       .tokens = prompt,
                       .longest = prompt + std::max<std::int64_t>(length.generated, 1)});
      first_.push_back(rows_.back().demand(0).wants);
    }
  }

  void share_pool() {
    std::size_t live = rows_.size();
    if (pool_pages_ > 0) live = generate_detail::rows_with_pages(demands(), live_, pool_pages_);
    for (; live_ > live; --live_) {
      if (rows_[live_ - 1].fed > 0) totals_.preempted_rows += 1;
      rows_[live_ - 1].fed = 0;
    }
    live_ = live;
  }

  void pass() {
    std::vector<std::int64_t> pending;
    for (std::size_t i = 0; i < live_; ++i) pending.push_back(rows_[i].pending());
    const std::vector<std::int64_t> shares = generate_detail::share_pass(pending, slots_.pass_rows);
    PassTotals pass{.passes = 1};
    std::vector<std::size_t> ended;
    std::int64_t fed_rows = 0;
    std::int64_t fed_pages = 0;
    for (std::size_t i = 0; i < live_; ++i) {
      SimulatedRow& row = rows_[i];
      const std::int64_t share = row.piece(shares[i]);
      fed_rows += row.fed + share > 0 ? 1 : 0;
      fed_pages += pages_of(row.fed + share);
      if (share == 0) continue;
      pass.fed_rows += 1;
      pass.fed_tokens += static_cast<double>(share);
      pass.context += static_cast<double>(row.fed);
      row.fed += share;
      if (row.fed < row.tokens) continue;
      pass.drawn_tokens += 1;
      if (++row.tokens == row.longest) ended.push_back(i);
    }
    for (std::size_t i = ended.size(); i-- > 0;) {
      rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(ended[i]));
      first_.erase(first_.begin() + static_cast<std::ptrdiff_t>(ended[i]));
      --live_;
    }
    totals_.peak_rows = std::max(totals_.peak_rows, fed_rows);
    totals_.peak_pages = std::max(totals_.peak_pages, fed_pages);
    totals_.peak_tokens = std::max(totals_.peak_tokens, static_cast<std::int64_t>(pass.fed_tokens));
    totals_.passes += 1;
    totals_.fed_tokens += pass.fed_tokens;
    totals_.drawn_tokens += pass.drawn_tokens;
    totals_.fed_rows += pass.fed_rows;
    totals_.context += pass.context;
    if (pass_seconds_) totals_.seconds += pass_seconds_(pass);
  }

  std::span<const RowLength> lengths_;
  const SlotPlan& slots_;
  const PassSeconds& pass_seconds_;
  std::int64_t pool_pages_;
  std::vector<SimulatedRow> rows_;   ///< oldest first
  std::vector<std::int64_t> first_;  ///< pages that each wanted when it was admitted
  std::size_t live_ = 0;
  std::uint64_t next_ = 0;
  PassTotals totals_;
};

/// `few` + (`many` - `few`) * factor
PassTotals extrapolated(const PassTotals& few, const PassTotals& many, double factor) {
  const auto line = [&](double PassTotals::*field) {
    return few.*field + (many.*field - few.*field) * factor;
  };
  return {.passes = line(&PassTotals::passes),
          .fed_tokens = line(&PassTotals::fed_tokens),
          .drawn_tokens = line(&PassTotals::drawn_tokens),
          .fed_rows = line(&PassTotals::fed_rows),
          .context = line(&PassTotals::context),
          .preempted_rows = line(&PassTotals::preempted_rows),
          .seconds = line(&PassTotals::seconds),
          .peak_rows = many.peak_rows,
          .peak_pages = many.peak_pages,
          .peak_tokens = many.peak_tokens};
}

}  // namespace

PassTotals simulate_passes(std::uint64_t rows, std::span<const RowLength> lengths,
                           const SlotPlan& slots, const PassSeconds& pass_seconds) {
  // Four and eight slots' worth of rows have a start and an end, and equal middles between them.
  constexpr std::uint64_t kFewest = 64;
  const auto few = std::max(kFewest, static_cast<std::uint64_t>(slots.slots) * 4);
  if (rows <= 2 * few) return Simulation(lengths, slots, pass_seconds).run(rows);
  const PassTotals of_few = Simulation(lengths, slots, pass_seconds).run(few);
  const PassTotals of_many = Simulation(lengths, slots, pass_seconds).run(2 * few);
  return extrapolated(of_few, of_many, static_cast<double>(rows - few) / static_cast<double>(few));
}

}  // namespace gridmill
