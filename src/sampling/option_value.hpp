#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::option_value {

/// Values that an option takes, and how a message puts it.
struct Range {
  double low = 0;
  double high = 0;
  /// `low` itself is out of range.
  bool above_low = false;
  const char* expected = "";
};

/// `value` as JSON, in the form in which read() takes it.
[[nodiscard]] Json text_to_json(const float* kind, const std::vector<std::string>& texts);
[[nodiscard]] Json text_to_json(const double* kind, const std::vector<std::string>& texts);
[[nodiscard]] Json text_to_json(const std::int32_t* kind, const std::vector<std::string>& texts);
[[nodiscard]] Json text_to_json(const std::int64_t* kind, const std::vector<std::string>& texts);
[[nodiscard]] Json text_to_json(const std::optional<std::int64_t>* kind,
                                const std::vector<std::string>& texts);
[[nodiscard]] Json text_to_json(const std::uint64_t* kind, const std::vector<std::string>& texts);
[[nodiscard]] Json text_to_json(const std::map<TokenId, float>* kind,
                                const std::vector<std::string>& texts);
[[nodiscard]] Json text_to_json(const std::vector<TokenId>* kind,
                                const std::vector<std::string>& texts);
[[nodiscard]] Json text_to_json(const std::vector<std::string>* kind,
                                const std::vector<std::string>& texts);

/// Whether `value` is of the kind and in the range; then `out` is set.
[[nodiscard]] bool read(const Json& value, const Range& range, float& out);
[[nodiscard]] bool read(const Json& value, const Range& range, double& out);
[[nodiscard]] bool read(const Json& value, const Range& range, std::int32_t& out);
[[nodiscard]] bool read(const Json& value, const Range& range, std::int64_t& out);
[[nodiscard]] bool read(const Json& value, const Range& range, std::optional<std::int64_t>& out);
[[nodiscard]] bool read(const Json& value, const Range& range, std::uint64_t& out);
[[nodiscard]] bool read(const Json& value, const Range& range, std::map<TokenId, float>& out);
[[nodiscard]] bool read(const Json& value, const Range& range, std::vector<TokenId>& out);
[[nodiscard]] bool read(const Json& value, const Range& range, std::vector<std::string>& out);

[[nodiscard]] Json to_json(float value);
[[nodiscard]] Json to_json(double value);
[[nodiscard]] Json to_json(std::int32_t value);
[[nodiscard]] Json to_json(std::int64_t value);
/// 0 = none.
[[nodiscard]] Json to_json(const std::optional<std::int64_t>& value);
[[nodiscard]] Json to_json(std::uint64_t value);
[[nodiscard]] Json to_json(const std::map<TokenId, float>& value);
[[nodiscard]] Json to_json(const std::vector<TokenId>& value);
[[nodiscard]] Json to_json(const std::vector<std::string>& value);

}  // namespace gridmill::option_value
