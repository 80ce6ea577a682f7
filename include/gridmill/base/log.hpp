#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "gridmill/base/format.hpp"

namespace gridmill::log {

enum class Level : int { error = 0, warn = 1, info = 2, debug = 3, trace = 4 };

/// Sets what is written; lines go to stderr as one write each, prefixed with time and level.
/// @param rank  this process's rank; functions without `each_rank` write on rank 0 only.
void configure(Level level, int rank);
/// @throws UsageError for a name that is none of error, warn, info, debug, trace.
[[nodiscard]] Level level_from_name(std::string_view name);
[[nodiscard]] bool enabled(Level level);
/// Writes one line, whatever the rank, if `level` is enabled; control characters are shown escaped.
void write(Level level, std::string_view message);
[[nodiscard]] bool on_root();

template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (on_root() && enabled(Level::info)) {
    write(Level::info, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  if (on_root() && enabled(Level::warn)) {
    write(Level::warn, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (on_root() && enabled(Level::debug)) {
    write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
  }
}
/// For what matters on every rank.
template <typename... Args>
void each_rank(Level level, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(level)) write(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace gridmill::log
