#include "convert/families/recurrence.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

bool is_infinite_text(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text == "inf" || text == "infinity" || text == "+inf";
}

/// No limit: a number that no float exceeds, a text, or {"__float__": text}.
bool is_infinite(const Json& value) {
  if (value.is_number()) return value.get<double>() > 3e38;
  if (value.is_object() && value.size() == 1 && value.contains("__float__")) {
    return is_infinite(value["__float__"]);
  }
  return value.is_string() && is_infinite_text(value.get<std::string>());
}

/// "[0.0, inf]" or "(0.0, inf)".
bool is_whole_range(const std::string& text) {
  std::string plain;
  for (const char c : text) {
    if (c != ' ') plain += c;
  }
  if (plain.size() < 2 || (plain.front() != '[' && plain.front() != '(')) return false;
  const std::string inside = plain.substr(1, plain.size() - 2);
  const std::size_t comma = inside.find(',');
  if (comma == std::string::npos) return false;
  const std::string low = inside.substr(0, comma);
  return (low == "0" || low == "0.0") && is_infinite_text(inside.substr(comma + 1));
}

}  // namespace

void check_time_step_limit(ConfigFields& config) {
  const char* name = "time_step_limit";
  const Json* limit = config.value(name);
  if (limit == nullptr) return;
  if (limit->is_string() && is_whole_range(limit->get<std::string>())) return;
  if (limit->is_array() && limit->size() == 2 && (*limit)[0].is_number() && (*limit)[0] == 0 &&
      is_infinite((*limit)[1])) {
    return;
  }
  config.fail(name, "is " + limit->dump(-1, ' ', true, Json::error_handler_t::replace) +
                        ": a limit of the time step is unsupported; expected [0, inf]");
}

const LinearRecurrenceSpec& recurrence_of(const WantedParameter& wanted) {
  if (wanted.layer) {
    const LayerSpec& layer = wanted.model.layers.at(static_cast<std::size_t>(*wanted.layer));
    for (const BlockSpec& block : layer.blocks) {
      if (const auto* found = std::get_if<LinearRecurrenceSpec>(&block.mixer)) return *found;
    }
  }
  throw InternalError(wanted.spec.name + " belongs to no recurrence");
}

ParameterTake take_taps(const std::string& tensor, std::int64_t taps,
                        std::span<const IndexRange> channels) {
  std::int64_t total = 0;
  for (const IndexRange& range : channels) total += range.count;
  ParameterTake take{.tensor = tensor, .shape = {total, 1, taps}};
  std::int64_t row = 0;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    for (const IndexRange& range : channels) {
      take.blocks.push_back({.rows = {row, range.count},
                             .columns = {0, 1},
                             .first = range.first * taps + tap,
                             .row_stride = taps});
      row += range.count;
    }
  }
  return take;
}

ParameterTake take_ranges(const WantedParameter& wanted, const std::string& tensor,
                          std::span<const IndexRange> rows, std::int64_t total) {
  const std::int64_t columns = columns_of(wanted.spec);
  ParameterTake take{.tensor = tensor, .shape = wanted.spec.shape};
  take.shape[0] = total;
  std::int64_t row = 0;
  for (const IndexRange& range : rows) {
    take.blocks.push_back({.rows = {row, range.count},
                           .columns = {0, columns},
                           .first = range.first * columns,
                           .row_stride = columns});
    row += range.count;
  }
  return take;
}

ParameterTake take_mamba2(const WantedParameter& wanted, const std::string& prefix) {
  const LinearRecurrenceSpec& spec = recurrence_of(wanted);
  constexpr std::string_view kOwn = "recurrence.";
  if (!wanted.leaf.starts_with(kOwn)) throw_no_source(wanted.spec.name);
  const std::string leaf = wanted.leaf.substr(kOwn.size());
  const std::int64_t values = spec.heads * spec.value_width;
  const std::int64_t keys = spec.key_heads * spec.key_width;
  // Ours: q = C, k = B, v = x.
  const std::array<IndexRange, 3> channels = {IndexRange{values + keys, keys},
                                              IndexRange{values, keys}, IndexRange{0, values}};
  if (leaf == "conv") return take_taps(prefix + "conv1d.weight", spec.conv_kernel, channels);
  if (leaf == "conv_bias") {
    return take_ranges(wanted, prefix + "conv1d.bias", channels, values + 2 * keys);
  }
  const std::int64_t total = 2 * values + 2 * keys + spec.heads;
  const std::array<std::pair<std::string_view, IndexRange>, 5> projections = {{
      {"gate", {0, values}},
      {"v", {values, values}},
      {"k", {2 * values, keys}},
      {"q", {2 * values + keys, keys}},
      {"decay", {2 * values + 2 * keys, spec.heads}},
  }};
  for (const auto& [ours, rows] : projections) {
    if (leaf == ours) {
      return take_ranges(wanted, prefix + "in_proj.weight", std::span(&rows, 1), total);
    }
    if (leaf == std::string(ours) + "_bias") {
      return take_ranges(wanted, prefix + "in_proj.bias", std::span(&rows, 1), total);
    }
  }
  constexpr std::array<NamePair, 6> kNames = {{{"step_bias", "dt_bias"},
                                               {"a_log", "A_log"},
                                               {"skip", "D"},
                                               {"norm", "norm.weight"},
                                               {"out", "out_proj.weight"},
                                               {"out_bias", "out_proj.bias"}}};
  for (const auto& [ours, theirs] : kNames) {
    if (leaf == ours) return take_whole(prefix + std::string(theirs), wanted.spec);
  }
  throw_no_source(wanted.spec.name);
}

}  // namespace gridmill::convert_detail
