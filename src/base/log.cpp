#include "gridmill/base/log.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/printable.hpp"

namespace gridmill::log {

namespace {
// Set once at start-up; the process has one stderr, so this is not state that a test could need
// twice.
std::atomic<int> g_level{static_cast<int>(Level::info)};
std::atomic<int> g_rank{0};
constexpr std::array<std::string_view, 5> kNames = {"error", "warn", "info", "debug", "trace"};
}  // namespace

void configure(Level level, int rank) {
  g_level = static_cast<int>(level);
  g_rank = rank;
}

Level level_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Level>(i);
  }
  throw UsageError(
      fmt::format("--log-level is '{}', expected error, warn, info, debug or trace", name));
}

bool enabled(Level level) {
  return static_cast<int>(level) <= g_level.load(std::memory_order_relaxed);
}

bool on_root() { return g_rank.load(std::memory_order_relaxed) == 0; }

void write(Level level, std::string_view message) {
  const std::string line = fmt::format("{} rank {} {}: {}\n", utc_timestamp(), g_rank.load(),
                                       kNames[static_cast<std::size_t>(level)], printable(message));
  // One write a line keeps the lines of several ranks apart. A lost log line is no reason to stop.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace gridmill::log
