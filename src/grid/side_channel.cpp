#include "gridmill/grid/side_channel.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "grid/link_detail.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill {

namespace {

using link_detail::Heard;
using link_detail::Introduction;
using link_detail::Link;
using link_detail::Listener;
using link_detail::Place;

constexpr double kTick_s = 0.1;
/// A sign of life every so many ticks.
constexpr int kTicksPerBeat = 10;
/// Says goodbye; other bytes are alarms.
constexpr std::uint8_t kBye = 255;

Introduction introduce_self(const Communicator& world) {
  Introduction self;
  if (world.rank() == 0) {
    std::random_device random;
    self.nonce = (std::uint64_t{random()} << 32) | random();
  }
  broadcast(world, 0, self.nonce);
  self.rank = world.rank();
  ::gethostname(self.host, sizeof(self.host) - 1);
  return self;
}

/// Rank 0 has a descriptor a node.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

struct Neighbour {
  Link link;
  int silent_ticks = 0;
};

}  // namespace

/// Owns the links; everything but `stop` belongs to the thread once it runs.
class SideChannel::Thread {
 public:
  Thread(SideChannel& channel, SideChannelOptions options, std::vector<Listener> listeners,
         std::optional<Link> uplink)
      : channel_(channel),
        options_(std::move(options)),
        most_silent_ticks_(
            static_cast<int>(static_cast<double>(options_.silence.count()) / (kTick_s * 1000))),
        listeners_(std::move(listeners)) {
    if (uplink) neighbours_.push_back({std::move(*uplink)});
    thread_ = std::thread([this] { run(); });
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
      for (Listener& listener : listeners_) {
        while (auto link = listener.accept()) neighbours_.push_back({std::move(*link)});
      }
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
    for (const Listener& listener : listeners_) descriptors.push_back({listener.fd(), POLLIN, 0});
    for (const Neighbour& neighbour : neighbours_) {
      if (neighbour.link.open()) descriptors.push_back({neighbour.link.fd(), POLLIN, 0});
    }
    ::poll(descriptors.data(), descriptors.size(), static_cast<int>(kTick_s * 1000));
  }

  void hear() {
    for (Neighbour& neighbour : neighbours_) {
      const Heard heard = neighbour.link.hear();
      if (heard.something) neighbour.silent_ticks = 0;
      for (const std::uint8_t byte : heard.bytes) {
        if (byte == kBye) {
          neighbour.silent_ticks = -1;  // expected to be silent
          neighbour.link.close();
        } else {
          channel_.raise(std::min(static_cast<Alarm>(byte), Alarm::lost));
        }
      }
    }
    std::erase_if(neighbours_, [](const Neighbour& one) { return one.silent_ticks < 0; });
  }

  /// Time is counted in ticks of this thread: what slept through it, as all processes of a
  /// suspended job do, has missed nothing.
  void tick() {
    for (Neighbour& neighbour : neighbours_) {
      if (++neighbour.silent_ticks < most_silent_ticks_) continue;
      if (channel_.lost_.empty()) channel_.lost_ = neighbour.link.peer_name();
      channel_.raise(Alarm::lost);
    }
    if (options_.on_tick) options_.on_tick();
    ++ticks_;
  }

  void tell() {
    const Alarm alarm = channel_.alarm();
    if (alarm == told_ && ticks_ < next_beat_) return;
    told_ = alarm;
    next_beat_ = ticks_ + kTicksPerBeat;
    for (Neighbour& neighbour : neighbours_) {
      neighbour.link.send(static_cast<std::uint8_t>(alarm));
    }
  }

  SideChannel& channel_;
  SideChannelOptions options_;
  int most_silent_ticks_;
  std::vector<Listener> listeners_;
  std::vector<Neighbour> neighbours_;
  int ticks_ = 0;
  int next_beat_ = 0;
  Alarm told_ = Alarm::none;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

SideChannel::SideChannel(const Grid& grid, SideChannelOptions options) {
  const Communicator& world = grid.world();
  const Introduction self = introduce_self(world);
  const bool root = world.rank() == 0;
  const bool head = grid.node().rank() == 0;  // of its node
  std::vector<Listener> listeners;
  std::string network_place;
  std::string node_place;
  std::optional<Error> error;
  try {
    if (root && grid.nodes() > 1) {
      raise_descriptor_limit();
      listeners.push_back(Listener::network(self));
      network_place = listeners.back().place().to_text();
    }
    if (head && grid.node().size() > 1) {
      listeners.push_back(Listener::local(self));
      node_place = listeners.back().place().to_text();
    }
  } catch (...) {
    error = error_in_flight();
  }
  broadcast(world, 0, network_place);
  broadcast(grid.node(), 0, node_place);
  const auto start = [&](std::optional<Link> uplink) {
    thread_ = std::make_unique<Thread>(*this, options, std::move(listeners), std::move(uplink));
  };
  // From the root down: a rank answers once it has a link itself.
  try {
    if (error) throw *error;
    if (root) {
      start(std::nullopt);
    } else {
      start(link_detail::connect(Place::from_text(head ? network_place : node_place), self));
    }
  } catch (...) {
    error = error_in_flight();
  }
  try {
    agree(world, error);
  } catch (const Error& failure) {
    log::warn(
        "no side channel between the ranks: a lost host is not noticed, and signals wait for the "
        "end of a pass ({})",
        failure.what());
    thread_.reset();  // with what is linked; then alone
    start(std::nullopt);
  }
}

SideChannel::~SideChannel() = default;

void SideChannel::raise(Alarm alarm) {
  Alarm known = this->alarm();
  while (known < alarm && !alarm_.compare_exchange_weak(known, alarm)) {
  }
}

}  // namespace gridmill
