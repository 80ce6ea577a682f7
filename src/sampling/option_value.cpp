#include "sampling/option_value.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <utility>

namespace gridmill::option_value {

namespace {

/// The whole of `text` as a number, or the text itself, which no number's read() takes.
template <typename Number>
Json number(std::string_view text) {
  Number value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || text.empty()) return text;
  return value;
}

bool in_range(const Range& range, double value) {
  return std::isfinite(value) && value <= range.high &&
         (range.above_low ? value > range.low : value >= range.low);
}

template <typename Real>
bool read_real(const Json& value, const Range& range, Real& out) {
  if (!value.is_number()) return false;
  const auto real = static_cast<Real>(value.get<double>());
  if (!in_range(range, static_cast<double>(real))) return false;
  // Above 0 in the text and 0 as fp32 is out of a range that leaves 0 out.
  out = real;
  return true;
}

template <typename Integer>
bool read_integer(const Json& value, const Range& range, Integer& out) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() &&
      value.get<std::uint64_t>() >
          static_cast<std::uint64_t>(std::numeric_limits<Integer>::max())) {
    return false;
  }
  const auto whole = value.get<std::int64_t>();
  if (whole < static_cast<std::int64_t>(range.low) || static_cast<double>(whole) > range.high) {
    return false;
  }
  out = static_cast<Integer>(whole);
  return true;
}

}  // namespace

Json text_to_json(const float* /*kind*/, const std::vector<std::string>& texts) {
  return number<double>(texts.back());
}
Json text_to_json(const double* /*kind*/, const std::vector<std::string>& texts) {
  return number<double>(texts.back());
}
Json text_to_json(const std::int32_t* /*kind*/, const std::vector<std::string>& texts) {
  return number<std::int64_t>(texts.back());
}
Json text_to_json(const std::int64_t* /*kind*/, const std::vector<std::string>& texts) {
  return number<std::int64_t>(texts.back());
}
Json text_to_json(const std::optional<std::int64_t>* /*kind*/,
                  const std::vector<std::string>& texts) {
  return number<std::int64_t>(texts.back());
}
Json text_to_json(const std::uint64_t* /*kind*/, const std::vector<std::string>& texts) {
  return number<std::uint64_t>(texts.back());
}
Json text_to_json(const std::map<TokenId, float>* /*kind*/, const std::vector<std::string>& texts) {
  Json object = Json::object();
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) return text;
    object[text.substr(0, equals)] = number<double>(std::string_view(text).substr(equals + 1));
  }
  return object;
}
Json text_to_json(const std::vector<TokenId>* /*kind*/, const std::vector<std::string>& texts) {
  Json list = Json::array();
  for (const std::string& text : texts) {
    for (std::size_t first = 0; first <= text.size();) {
      const std::size_t end = std::min(text.find(',', first), text.size());
      list.push_back(number<std::int64_t>(std::string_view(text).substr(first, end - first)));
      first = end + 1;
    }
  }
  return list;
}
Json text_to_json(const std::vector<std::string>* /*kind*/, const std::vector<std::string>& texts) {
  return texts;
}

bool read(const Json& value, const Range& range, float& out) {
  return read_real(value, range, out);
}
bool read(const Json& value, const Range& range, double& out) {
  return read_real(value, range, out);
}
bool read(const Json& value, const Range& range, std::int32_t& out) {
  return read_integer(value, range, out);
}
bool read(const Json& value, const Range& range, std::int64_t& out) {
  return read_integer(value, range, out);
}
bool read(const Json& value, const Range& range, std::optional<std::int64_t>& out) {
  std::int64_t whole = 0;
  if (!read_integer(value, range, whole)) return false;
  out = whole;
  return true;
}
bool read(const Json& value, const Range& /*range*/, std::uint64_t& out) {
  if (!value.is_number_integer()) return false;
  if (!value.is_number_unsigned() && value.get<std::int64_t>() < 0) return false;
  out = value.get<std::uint64_t>();
  return true;
}
bool read(const Json& value, const Range& range, std::map<TokenId, float>& out) {
  if (!value.is_object()) return false;
  constexpr double kLast = std::numeric_limits<TokenId>::max();
  std::map<TokenId, float> biases;
  for (const auto& [key, bias] : value.items()) {
    TokenId id = 0;
    const Json id_value = number<std::int64_t>(key);
    if (!read_integer(id_value, {.low = 0, .high = kLast}, id)) return false;
    if (!read_real(bias, range, biases[id])) return false;
  }
  out = std::move(biases);
  return true;
}
bool read(const Json& value, const Range& range, std::vector<TokenId>& out) {
  if (!value.is_array()) return false;
  std::vector<TokenId> ids;
  for (const Json& entry : value) {
    if (!read_integer(entry, range, ids.emplace_back())) return false;
  }
  out = std::move(ids);
  return true;
}
bool read(const Json& value, const Range& /*range*/, std::vector<std::string>& out) {
  std::vector<std::string> texts;
  if (value.is_string()) {
    texts.push_back(value.get<std::string>());
  } else {
    if (!value.is_array()) return false;
    for (const Json& entry : value) {
      if (!entry.is_string()) return false;
      texts.push_back(entry.get<std::string>());
    }
  }
  for (const std::string& text : texts) {
    if (text.empty()) return false;
  }
  out = std::move(texts);
  return true;
}

Json to_json(float value) { return value; }
Json to_json(double value) { return value; }
Json to_json(std::int32_t value) { return value; }
Json to_json(std::int64_t value) { return value; }
Json to_json(const std::optional<std::int64_t>& value) { return value.value_or(0); }
Json to_json(std::uint64_t value) { return value; }
Json to_json(const std::map<TokenId, float>& value) {
  Json object = Json::object();
  for (const auto& [id, bias] : value) object[std::to_string(id)] = bias;
  return object;
}
Json to_json(const std::vector<TokenId>& value) { return value; }
Json to_json(const std::vector<std::string>& value) { return value; }

}  // namespace gridmill::option_value
