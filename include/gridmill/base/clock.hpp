#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace gridmill {

using SteadyClock = std::chrono::steady_clock;

/// Seconds since `start`.
[[nodiscard]] inline double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

/// "50ms", "2s", "5m", "1h", or a bare number of seconds.
/// @throws UsageError naming `option` for anything else or a negative value.
[[nodiscard]] std::chrono::milliseconds parse_duration(std::string_view text,
                                                       const std::string& option);

/// Now in UTC as 2026-01-31T12:00:00Z.
[[nodiscard]] std::string utc_timestamp();

}  // namespace gridmill
