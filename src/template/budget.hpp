#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gridmill/base/format.hpp"
#include "gridmill/template/template.hpp"

namespace gridmill::jinja {

/// Ends a rendering; the renderer adds the position.
struct Fault {
  std::string message;
  bool raised = false;  ///< by raise_exception
};

/// Remaining budget of one rendering. Charges come before the work and the memory they stand for.
class Budget {
 public:
  explicit Budget(const RenderLimits& limits) : limits_(limits) {}

  void steps(std::uint64_t count) {
    if (count > limits_.steps - steps_) {
      throw Fault{fmt::format("the template takes more than {} steps", limits_.steps)};
    }
    steps_ += count;
  }
  /// `bytes` more of text or list items. Scanning 64 bytes costs a step.
  void create(std::uint64_t bytes) {
    if (bytes > limits_.created_bytes - created_) {
      throw Fault{
          fmt::format("the template makes more than {} bytes of values", limits_.created_bytes)};
    }
    created_ += bytes;
    scan(bytes);
  }
  void scan(std::uint64_t bytes) { steps(1 + bytes / 64); }

  void append(std::string& text, std::string_view more) {
    create(more.size());
    text += more;
  }

 private:
  RenderLimits limits_;
  std::uint64_t steps_ = 0;
  std::uint64_t created_ = 0;
};

}  // namespace gridmill::jinja
