#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "gridmill/grid/grid.hpp"

namespace gridmill {

/// An alarm from a rank to all others. A higher one replaces a lower one.
enum class Alarm : std::uint8_t {
  none,
  stop,     ///< the job shall stop cleanly
  at_once,  ///< the job shall commit and leave
  lost,     ///< a host, or a process, is gone
};

struct SideChannelOptions {
  /// A neighbour that says nothing for so long is lost. Longer than a network or a switch takes to
  /// fail over, shorter than what a scheduler gives a job after it has given up one of its hosts.
  std::chrono::milliseconds silence{30000};
  /// Called by the channel's thread about ten times a second. Must not throw.
  std::function<void()> on_tick{};
};

/// A second line between the processes of a job, beside MPI and served by a thread of its own: it
/// works while the main threads compute, load, or wait in MPI for a process that is gone. An alarm
/// that one rank raises reaches all in a fraction of a second. MPI does not report a lost host; the
/// channel detects a process that died within two seconds (its link ends without a goodbye), and a
/// host that is cut off after a time of silence.
///
/// A tree: ranks of a node connect to the lowest of them (Unix socket), and those to rank 0 (TCP,
/// any port). One byte a second a link. Both ends of a link prove that they know a secret of the
/// job, which only MPI carries; on a Unix socket both belong to one user besides. No socket accepts
/// connections once the channel stands. Makes no MPI call after its construction.
class SideChannel {
 public:
  /// Collective over grid.world(). If hosts cannot connect to each other, rank 0 warns, and ranks
  /// exchange no alarms: alarms stay local.
  /// @throws ResourceError on every rank if one gets no thread.
  SideChannel(const Grid& grid, SideChannelOptions options);
  SideChannel(const SideChannel&) = delete;
  SideChannel& operator=(const SideChannel&) = delete;
  /// Local: says goodbye to neighbours, which then do not miss this rank.
  ~SideChannel();

  /// Sends an alarm to all ranks. From any thread.
  void raise(Alarm alarm);
  /// The highest alarm that this rank has received or raised.
  [[nodiscard]] Alarm alarm() const { return alarm_.load(std::memory_order_relaxed); }
  /// The neighbour that this rank found lost, "rank 3 on node17"; empty if another rank did. To be
  /// called by on_tick.
  [[nodiscard]] const std::string& lost() const { return lost_; }

 private:
  class Thread;
  std::atomic<Alarm> alarm_{Alarm::none};
  std::string lost_;
  std::unique_ptr<Thread> thread_;
};

}  // namespace gridmill
