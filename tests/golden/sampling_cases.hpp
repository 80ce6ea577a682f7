// Recorded cases of sampling options: golden/sampling of the full golden data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/h5/dataset.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/sampling/row_rules.hpp"

namespace gridmill::test {

struct SamplingCase {
  std::string name;
  SamplingOptions options;
  RowLimits limits;
  std::vector<float> logits;
  std::vector<TokenId> prompt;
  std::vector<TokenId> generated;
  /// Logits after bias and penalties by fp32 operations; recorded for small vocabularies.
  std::vector<float> adjusted;
  std::vector<TokenId> kept;
  TokenId greedy = -1;
  std::vector<TokenId> top_ids;
  std::vector<double> top_logprobs;

  [[nodiscard]] RowRules rules() const {
    RowRules row(options, limits, prompt);
    for (const TokenId id : generated) row.add_generated(id);
    return row;
  }
};

inline void set_golden_option(SamplingCase& one, const std::string& name, const Json& value) {
  static const std::map<std::string, std::string> names = {{"banned_ids", "banned_token_ids"},
                                                           {"allowed_ids", "allowed_token_ids"},
                                                           {"eod_ids", "eod_token_ids"},
                                                           {"stop_ids", "stop_token_ids"}};
  const auto other = names.find(name);
  const std::string& wanted = other == names.end() ? name : other->second;
  for (const OptionField& field : sampling_fields()) {
    if (wanted == field.name) return set_from_json(one.options, field, value);
  }
  for (const OptionField& field : limit_fields()) {
    if (wanted == field.name) return set_from_json(one.limits, field, value);
  }
  throw UsageError("the golden data has an option that is not known here: " + name);
}

inline SamplingCase read_sampling_case(const h5::File& file, const std::string& group) {
  SamplingCase one;
  one.name = group;
  const Json options = parse_json(file.read_text_attribute(group, "options"), group);
  for (const auto& [name, value] : options.items()) set_golden_option(one, name, value);
  one.logits = file.dataset(group + "/logits").read_as<float>();
  one.prompt = file.dataset(group + "/prompt").read_as<std::int32_t>();
  one.generated = file.dataset(group + "/generated").read_as<std::int32_t>();
  if (file.exists(group + "/adjusted_f32")) {
    one.adjusted = file.dataset(group + "/adjusted_f32").read_as<float>();
  }
  one.kept = file.dataset(group + "/kept").read_as<std::int32_t>();
  one.greedy = file.exists(group + "/greedy")
                   ? file.dataset(group + "/greedy").read_as<std::int32_t>().front()
                   : static_cast<TokenId>(file.read_integer_attribute(group, "greedy"));
  one.top_ids = file.dataset(group + "/top_ids").read_as<std::int32_t>();
  one.top_logprobs = file.dataset(group + "/top_logprobs").read_as<double>();
  return one;
}

/// Names of the groups that are cases.
inline std::vector<std::string> sampling_case_names(const h5::File& file) {
  std::vector<std::string> names;
  for (const h5::Link& link : file.links()) {
    const std::string suffix = "/logits";
    if (link.kind == h5::LinkKind::dataset && link.path.ends_with(suffix)) {
      names.push_back(link.path.substr(0, link.path.size() - suffix.size()));
    }
  }
  return names;
}

}  // namespace gridmill::test
