#include "convert/gguf/gguf_keys.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

/// Keys that may have any value: they change nothing in what the model computes.
constexpr std::array<std::string_view, 4> kHarmless = {
    // The size of the vocabulary is the number of rows of token_embd.weight.
    "vocab_size",
    // Whether the model was trained with its rotary scaling; the other keys hold that scaling.
    "rope.scaling.finetuned",
    // A family has norms of one kind, and the epsilon of that kind is read; a converter copies the
    // other one where a config.json has both.
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
};

std::string shown(const Json& value) {
  constexpr std::size_t kLongest = 80;
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() > kLongest ? text.substr(0, kLongest) + "..." : text;
}

}  // namespace

GgufKeys::GgufKeys(const GgufFile& file, std::string_view architecture)
    : file_(file), prefix_(std::string(architecture) + ".") {}

const Json* GgufKeys::find(const std::string& name) {
  read_.insert(prefix_ + name);
  const auto found = file_.metadata.find(prefix_ + name);
  return found == file_.metadata.end() ? nullptr : &*found;
}

bool GgufKeys::copy(const std::string& name, Json& config, const char* field) {
  const Json* found = find(name);
  if (found != nullptr) config[field] = *found;
  return found != nullptr;
}

std::int64_t GgufKeys::size(const std::string& name, std::optional<std::int64_t> fallback) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 31;
  const Json* found = find(name);
  if (found == nullptr && fallback) return *fallback;
  if (found == nullptr) fail(name, "is missing");
  if (!found->is_number_integer() || *found < 1 || *found > kLargest) {
    fail(name, fmt::format("is {}, expected 1 to {}", shown(*found), kLargest));
  }
  return found->get<std::int64_t>();
}

double GgufKeys::number(const std::string& name, double fallback) {
  const Json* found = find(name);
  if (found == nullptr) return fallback;
  if (!found->is_number() || !std::isfinite(found->get<double>())) {
    fail(name, "is " + shown(*found) + ", expected a number");
  }
  return found->get<double>();
}

std::string GgufKeys::text(const std::string& name, const std::string& fallback) {
  const Json* found = find(name);
  if (found == nullptr) return fallback;
  if (!found->is_string()) fail(name, "is " + shown(*found) + ", expected a text");
  return found->get<std::string>();
}

void GgufKeys::refuse(const std::string& name, std::initializer_list<Json> neutral) {
  const Json* found = find(name);
  if (found == nullptr || std::find(neutral.begin(), neutral.end(), *found) != neutral.end()) {
    return;
  }
  fail(name, "is " + shown(*found) + ", which is unsupported here");
}

void GgufKeys::refuse_unread() const {
  std::string off;
  for (const auto& [key, value] : file_.metadata.items()) {
    if (!key.starts_with(prefix_) || read_.contains(key)) continue;
    const std::string name = key.substr(prefix_.size());
    if (std::find(kHarmless.begin(), kHarmless.end(), name) != kHarmless.end()) continue;
    if (value != 0 && value != false && !value.empty()) {
      fail(name,
           "is " + shown(value) + ": gridmill does not know what it means, so it is unsupported");
    }
    off += (off.empty() ? "" : ", ") + key;
  }
  if (!off.empty()) log::warn("{}: ignored, since it is off: {}", file_.path, off);
}

void GgufKeys::fail(const std::string& name, const std::string& problem) const {
  throw FormatError(fmt::format("{}: key {}{} {}", file_.path, prefix_, name, problem));
}

void GgufKeys::warn(const std::string& name, const std::string& problem) const {
  log::warn("{}: key {}{} {}", file_.path, prefix_, name, problem);
}

}  // namespace gridmill::convert_detail
