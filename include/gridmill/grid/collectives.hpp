#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gridmill/base/error_in_flight.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill {

/// Collective: if any rank passes an error, every rank throws the one of the lowest such rank (same
/// kind, code and message); else no rank throws. For stage boundaries: open, load, create, close.
void agree(const Communicator& comm, const std::optional<Error>& local);

/// Collective: runs `stage`, which must make no collective call (CollectiveStage is for one that
/// does), and agrees on how it ended.
/// @return what `stage` returned, if it did so everywhere.
template <typename Stage>
auto agree_on(const Communicator& comm, Stage&& stage) {
  std::optional<Error> error;
  if constexpr (std::is_void_v<decltype(stage())>) {
    try {
      stage();
    } catch (...) {
      error = error_in_flight();
    }
    agree(comm, error);
  } else {
    std::optional<decltype(stage())> result;
    try {
      result.emplace(stage());
    } catch (...) {
      error = error_in_flight();
    }
    agree(comm, error);
    return std::move(*result);
  }
}

/// A stage that consists of local work and collective calls in turns. A rank on which something
/// failed still makes every collective call, since others wait for it there; finish() agrees.
///
///   CollectiveStage stage(world);
///   stage.local([&] { piece = read(); });
///   all_gather_bytes(world, piece, whole);      // also by a rank that could not read
///   stage.local([&] { use(whole); });
///   stage.finish();
class CollectiveStage {
 public:
  explicit CollectiveStage(const Communicator& comm) : comm_(comm) {}
  CollectiveStage(const CollectiveStage&) = delete;
  CollectiveStage& operator=(const CollectiveStage&) = delete;
  ~CollectiveStage() = default;

  /// Runs `work`, which makes no collective call; left out once something has failed here.
  template <typename Work>
  void local(Work&& work) {
    if (!error_) collective(std::forward<Work>(work));
  }
  /// Runs `work`, a collective call over some ranks of the stage that throws on all of them or on
  /// none; whatever failed before.
  template <typename Work>
  void collective(Work&& work) {
    try {
      work();
    } catch (...) {
      if (!error_) error_ = error_in_flight();
    }
  }
  /// Whether something has failed on this rank.
  [[nodiscard]] bool failed() const { return error_.has_value(); }
  /// Collective over the stage's communicator: throws as agree() does.
  void finish() const { agree(comm_, error_); }

 private:
  const Communicator& comm_;
  std::optional<Error> error_;
};

/// Collective: `bytes` of `root` arrive everywhere; any size, the same on every rank.
void broadcast_bytes(const Communicator& comm, int root, std::span<std::byte> bytes);
/// Collective: the text of `root`, whatever the others pass.
void broadcast(const Communicator& comm, int root, std::string& text);
/// Collective: one value without pointers.
template <typename T>
requires std::is_trivially_copyable_v<T>
void broadcast(const Communicator& comm, int root, T& value) {
  broadcast_bytes(comm, root, std::as_writable_bytes(std::span(&value, 1)));
}
/// Collective: the elements of `root`; the others' vectors take its size.
template <typename T>
requires std::is_trivially_copyable_v<T>
void broadcast(const Communicator& comm, int root, std::vector<T>& values) {
  std::uint64_t count = values.size();
  broadcast(comm, root, count);
  values.resize(static_cast<std::size_t>(count));
  broadcast_bytes(comm, root, std::as_writable_bytes(std::span(values)));
}

/// Collective: `whole` receives comm.size() parts of equal size in rank order; `part` may be its
/// own place in `whole`.
void all_gather_bytes(const Communicator& comm, std::span<const std::byte> part,
                      std::span<std::byte> whole);
/// Collective: the value of every rank, in rank order.
template <typename T>
requires std::is_trivially_copyable_v<T>
[[nodiscard]] std::vector<T> all_gather(const Communicator& comm, const T& value) {
  std::vector<T> values(static_cast<std::size_t>(comm.size()));
  all_gather_bytes(comm, std::as_bytes(std::span(&value, 1)),
                   std::as_writable_bytes(std::span(values)));
  return values;
}
/// Collective: the texts of all ranks, in rank order.
[[nodiscard]] std::vector<std::string> all_gather_text(const Communicator& comm,
                                                       const std::string& text);

/// Collective: as all_gather for parts of `counts[rank]` elements of `element_bytes` bytes.
void all_gather_elements(const Communicator& comm, std::span<const std::byte> part,
                         std::span<const std::int64_t> counts, std::size_t element_bytes,
                         std::span<std::byte> whole);
/// Collective: sends counts `send_counts[rank]` of elements to each rank and receives
/// `receive_counts[rank]` from each, both stored in rank order.
void all_to_all_elements(const Communicator& comm, std::span<const std::byte> send,
                         std::span<const std::int64_t> send_counts, std::size_t element_bytes,
                         std::span<const std::int64_t> receive_counts,
                         std::span<std::byte> receive);

/// Collective: true if any rank's `value` is.
[[nodiscard]] bool any_rank(const Communicator& comm, bool value);
/// Collective: the sum of counters.
[[nodiscard]] std::uint64_t sum_over_ranks(const Communicator& comm, std::uint64_t value);

/// Spread of one number over ranks, for reports.
struct Spread {
  double min = 0;
  double mean = 0;
  double max = 0;
};
/// Collective: one Spread per entry of `values`, which has the same length on every rank.
[[nodiscard]] std::vector<Spread> spread_over_ranks(const Communicator& comm,
                                                    std::span<const double> values);

}  // namespace gridmill
