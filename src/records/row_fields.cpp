#include "gridmill/records/row_fields.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

constexpr std::array<RowFieldInfo, 20> kFields = {{
    {RowField::index, "index", Presence::always, false, false},
    {RowField::prompt_index, "prompt_index", Presence::always, true, false},
    {RowField::sample_index, "sample_index", Presence::always, false, false},
    {RowField::text, "text", Presence::always, false, false},
    {RowField::tokens, "tokens", Presence::always, false, false},
    {RowField::logprobs, "logprobs", Presence::if_any, false, true},
    {RowField::top_ids, "top_ids", Presence::if_any, false, false},
    {RowField::top_logprobs, "top_logprobs", Presence::if_any, false, false},
    {RowField::finish_reason, "finish_reason", Presence::always, false, false},
    {RowField::stop, "stop", Presence::if_any, false, false},
    {RowField::stop_index, "stop_index", Presence::named, false, false},
    {RowField::truncated, "truncated", Presence::if_any, true, false},
    {RowField::failure, "failure", Presence::if_any, false, false},
    {RowField::prompt_tokens, "prompt_tokens", Presence::always, true, false},
    {RowField::completion_tokens, "completion_tokens", Presence::always, false, false},
    {RowField::sum_logprob, "sum_logprob", Presence::named, false, true},
    {RowField::mean_logprob, "mean_logprob", Presence::named, false, true},
    {RowField::prompt, "prompt", Presence::if_any, true, false},
    {RowField::messages, "messages", Presence::named, true, false},
    {RowField::record, "record", Presence::if_any, true, false},
}};

}  // namespace

std::span<const RowFieldInfo> row_fields() { return kFields; }

const RowFieldInfo& info_of(RowField field) { return kFields.at(static_cast<std::size_t>(field)); }

std::vector<NamedField> parse_row_fields(const std::string& list) {
  std::vector<NamedField> fields;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string entry = list.substr(begin, end - begin);
    begin = end + 1;
    const std::size_t sign = entry.find('=');
    const std::string name = entry.substr(0, sign);
    const std::string field = sign == std::string::npos ? entry : entry.substr(sign + 1);
    const auto* const found =
        std::find_if(kFields.begin(), kFields.end(),
                     [&](const RowFieldInfo& info) { return field == info.name; });
    if (found == kFields.end()) {
      std::vector<std::string> names;
      for (const RowFieldInfo& info : kFields) names.emplace_back(info.name);
      throw UsageError(fmt::format("--fields: there is no field '{}'; there are {}", field,
                                   fmt::join(names, ", ")));
    }
    if (name.empty()) throw UsageError(fmt::format("--fields: '{}' has no name", entry));
    for (const NamedField& other : fields) {
      if (other.name == name) {
        throw UsageError(fmt::format("--fields names '{}' twice", name));
      }
    }
    fields.push_back({name, found->field});
  }
  return fields;
}

}  // namespace gridmill
