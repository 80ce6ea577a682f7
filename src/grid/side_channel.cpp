#include "gridmill/grid/side_channel.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "grid/link.hpp"
#include "grid/listener.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/thread.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill {

namespace {

using detail::Heard;
using detail::Introduction;
using detail::Link;
using detail::Listener;
using detail::Place;
using detail::Secret;

constexpr double kTick_s = 0.1;
/// A sign of life every so many ticks.
constexpr int kTicksPerBeat = 10;
/// A launcher kills all processes of a job when one of them aborts. The others wait so long for its
/// signal before they take a link that ended for the death of a process.
constexpr int kTicksToBeTold = 10;
/// Says goodbye; other bytes are alarms.
constexpr std::uint8_t kBye = 255;

/// Collective: random bytes of rank 0, which only MPI carries.
Secret share_secret(const Communicator& world) {
  Secret secret =
      agree_on(world, [&] { return world.rank() == 0 ? detail::random_secret() : Secret{}; });
  broadcast(world, 0, secret);
  return secret;
}

/// Rank 0 has a descriptor a node.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Learns without waiting when every rank has reached a point.
class Gathering {
 public:
  /// Collective over `comm`, does not wait.
  explicit Gathering(const Communicator& comm) {
    check_mpi(MPI_Ibarrier(comm.get(), &request_), "MPI_Ibarrier");
  }
  Gathering(const Gathering&) = delete;
  Gathering& operator=(const Gathering&) = delete;
  /// Collective: waits.
  ~Gathering() { MPI_Wait(&request_, MPI_STATUS_IGNORE); }
  [[nodiscard]] bool complete() {
    int done = 0;
    check_mpi(MPI_Test(&request_, &done, MPI_STATUS_IGNORE), "MPI_Test");
    return done != 0;
  }

 private:
  MPI_Request request_ = MPI_REQUEST_NULL;
};

struct Neighbour {
  Link link;
  int silent_ticks = 0;
  bool gone = false;  ///< its link ended
  bool left = false;  ///< no sign of life is expected any more
};

/// Collective: makes the links of this rank, to its head and from those whose head it is. No thread
/// runs yet and no socket accepts connections afterwards, so that strangers have nothing to reach
/// in a running job.
std::vector<Link> make_links(const Grid& grid) {
  const Communicator& world = grid.world();
  const bool root = world.rank() == 0;
  const bool head = grid.node().rank() == 0;  // of its node
  const Secret secret = share_secret(world);
  Introduction self;
  self.rank = world.rank();
  ::gethostname(self.host, sizeof(self.host) - 1);

  std::vector<Listener> listeners;
  std::string network_place;
  std::string node_place;
  std::optional<Error> error;
  try {
    if (root && grid.nodes() > 1) {
      raise_descriptor_limit();
      listeners.push_back(Listener::network());
      network_place = listeners.back().place().to_text();
    }
    if (head && grid.node().size() > 1) {
      listeners.push_back(Listener::local());
      node_place = listeners.back().place().to_text();
    }
  } catch (...) {
    error = error_in_flight();
  }
  broadcast(world, 0, network_place);
  broadcast(grid.node(), 0, node_place);

  std::optional<Link> uplink;
  try {
    if (!error && !root) {
      uplink = detail::connect(Place::from_text(head ? network_place : node_place), secret, self);
    }
  } catch (...) {
    error = error_in_flight();
  }
  // A rank that is through with its own link has the proof of the other end, which has the link
  // then. So no wait is needed once all ranks are.
  std::vector<Link> links;
  {
    Gathering gathering(world);
    try {
      links = detail::accept_links(listeners, secret, self, [&] { return gathering.complete(); });
    } catch (...) {
      error = error_in_flight();
    }
  }
  agree(world, error);
  if (uplink) links.push_back(std::move(*uplink));
  return links;
}

}  // namespace

/// Owns the links; everything but `stop` belongs to the thread once it runs.
class SideChannel::Thread {
 public:
  Thread(SideChannel& channel, SideChannelOptions options, std::vector<Link> links)
      : channel_(channel),
        options_(std::move(options)),
        most_silent_ticks_(
            static_cast<int>(static_cast<double>(options_.silence.count()) / (kTick_s * 1000))) {
    for (Link& link : links) neighbours_.push_back({std::move(link)});
    thread_ = start_thread("the side channel between ranks", [this] { run(); });
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() {
    stop_ = true;
    thread_.join();
    for (Neighbour& neighbour : neighbours_) neighbour.link.send(kBye);
  }

 private:
  void run() {
    SteadyClock::time_point last_tick = SteadyClock::now();
    while (!stop_) {
      wait();
      hear();
      if (seconds_since(last_tick) >= kTick_s) {
        last_tick = SteadyClock::now();
        tick();
      }
      tell();
    }
  }

  void wait() {
    // Signals wake the call up, which is welcome.
    std::vector<pollfd> descriptors;
    for (const Neighbour& neighbour : neighbours_) {
      if (neighbour.gone) continue;  // always ready
      descriptors.push_back({neighbour.link.fd(), POLLIN, 0});
    }
    ::poll(descriptors.data(), descriptors.size(), static_cast<int>(kTick_s * 1000));
  }

  void hear() {
    for (Neighbour& neighbour : neighbours_) {
      if (neighbour.gone) continue;
      const Heard heard = neighbour.link.hear();
      if (!heard.bytes.empty() || heard.gone) neighbour.silent_ticks = 0;
      for (const std::uint8_t byte : heard.bytes) {
        if (byte == kBye) {
          neighbour.left = true;
        } else {
          channel_.raise(std::min(static_cast<Alarm>(byte), Alarm::lost));
        }
      }
      if (heard.gone) neighbour.gone = true;
    }
    std::erase_if(neighbours_, [](const Neighbour& one) { return one.left; });
  }

  /// A link that ended without a goodbye is a process that died, unless the job ends anyway: then
  /// processes may leave in the middle of everything.
  void judge(Neighbour& neighbour) {
    const int most = neighbour.gone ? kTicksToBeTold : most_silent_ticks_;
    if (++neighbour.silent_ticks < most) return;
    if (neighbour.gone) neighbour.left = true;
    if (!neighbour.gone || channel_.alarm() == Alarm::none) miss(neighbour);
  }

  void miss(const Neighbour& neighbour) {
    if (channel_.lost_.empty()) channel_.lost_ = neighbour.link.peer_name();
    channel_.raise(Alarm::lost);
  }

  /// Time is counted in ticks of this thread: what slept through it, as all processes of a
  /// suspended job do, has missed nothing.
  void tick() {
    for (Neighbour& neighbour : neighbours_) judge(neighbour);
    if (options_.on_tick) options_.on_tick();
    ++ticks_;
  }

  void tell() {
    const Alarm alarm = channel_.alarm();
    if (alarm == told_ && ticks_ < next_beat_) return;
    const bool news = std::exchange(told_, alarm) != alarm;
    next_beat_ = ticks_ + kTicksPerBeat;
    for (Neighbour& neighbour : neighbours_) {
      const auto byte = static_cast<std::uint8_t>(alarm);
      if (news) {
        neighbour.link.send(byte);
      } else {
        neighbour.link.send_beat(byte);
      }
    }
  }

  SideChannel& channel_;
  SideChannelOptions options_;
  int most_silent_ticks_;
  std::vector<Neighbour> neighbours_;
  int ticks_ = 0;
  int next_beat_ = 0;
  Alarm told_ = Alarm::none;
  std::atomic<bool> stop_{false};
  std::jthread thread_;
};

SideChannel::SideChannel(const Grid& grid, SideChannelOptions options) {
  std::vector<Link> links;
  try {
    links = make_links(grid);
  } catch (const Error& failure) {
    log::warn(
        "no side channel between the ranks: a lost host is not noticed, and signals wait for the "
        "end of a pass ({})",
        failure.what());
  }
  thread_ = agree_on(grid.world(), [&] {
    return std::make_unique<Thread>(*this, std::move(options), std::move(links));
  });
}

SideChannel::~SideChannel() = default;

void SideChannel::raise(Alarm alarm) {
  Alarm known = this->alarm();
  while (known < alarm && !alarm_.compare_exchange_weak(known, alarm)) {
  }
}

}  // namespace gridmill
