#include "job/generation_config.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::job_detail {

namespace {

constexpr const char* kFile = "generation_config.json";

/// Settings that become options, by their name in the file and in the tables of options.
constexpr std::array<std::string_view, 6> kSettings = {
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_new_tokens"};

Json object_in(const std::map<std::string, std::string>& files, const std::string& name,
               const std::string& model) {
  const auto found = files.find(name);
  if (found == files.end()) return Json::object();
  const std::string where = fmt::format("{} in {}", name, model);
  Json content = parse_json(found->second, where);
  if (!content.is_object()) throw FormatError(fmt::format("{} is no JSON object", where));
  return content;
}

/// Settings of the file in the options' terms, in the order of kSettings.
std::vector<std::pair<std::string, Json>> settings_in(const Json& content) {
  std::vector<std::pair<std::string, Json>> settings;
  const auto sample = content.find("do_sample");
  const bool draws = sample != content.end() && sample->is_boolean() && sample->get<bool>();
  for (const std::string_view name : kSettings) {
    // As in transformers: without do_sample, decoding is greedy whatever the temperature.
    if (name == "temperature" && !draws) {
      settings.emplace_back(name, 0);
      continue;
    }
    const auto value = content.find(name);
    if (value != content.end() && !value->is_null()) settings.emplace_back(name, *value);
  }
  return settings;
}

template <typename Options>
bool set_field(Options& options, std::span<const OptionField> fields, const std::string& name,
               const Json& value) {
  const auto field = std::find_if(fields.begin(), fields.end(),
                                  [&](const OptionField& each) { return name == each.name; });
  if (field == fields.end()) return false;
  set_from_json(options, *field, value);
  return true;
}

void set(SamplingOptions& sampling, RowLimits& limits, const std::string& name, const Json& value,
         const std::string& model) {
  try {
    if (!set_field(sampling, sampling_fields(), name, value) &&
        !set_field(limits, limit_fields(), name, value)) {
      throw InternalError(fmt::format("there is no option {}", name));
    }
  } catch (const UsageError& problem) {
    throw FormatError(fmt::format("{} in {}: {}; --generation-config eod leaves it out", kFile,
                                  model, problem.what()));
  }
}

std::string listed(const std::vector<std::pair<std::string, Json>>& settings) {
  std::string list;
  for (const auto& [name, value] : settings) {
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", name,
                        value.dump(-1, ' ', true, Json::error_handler_t::replace));
  }
  return list;
}

/// End tokens of config.json, the file that generation_config.json stands above.
void take_config_eod(JobConfig& config, const Json& content) {
  const Json* ids = nullptr;
  if (const auto own = content.find("eos_token_id"); own != content.end()) ids = &*own;
  if (ids == nullptr || ids->is_null() || config.ignore_eos ||
      !config.limits.eod_token_ids.empty()) {
    return;
  }
  set(config.sampling, config.limits, "eod_token_ids", ids->is_array() ? *ids : Json::array({*ids}),
      config.run.model);
}

}  // namespace

void apply_generation_config(JobConfig& config, const std::map<std::string, std::string>& files) {
  if (config.generation_config == "none") {
    if (files.count(kFile) > 0) {
      take_config_eod(config, object_in(files, "config.json", config.run.model));
    }
    return;
  }
  const Json content = object_in(files, kFile, config.run.model);
  if (content.empty()) {
    if (config.generation_config == "all") {
      log::warn("{} holds no {}: --generation-config all takes nothing", config.run.model, kFile);
    }
    return;
  }
  const bool all = config.generation_config == "all";
  std::vector<std::pair<std::string, Json>> shown;
  for (const auto& [name, value] : settings_in(content)) {
    if (config.given.count(name) > 0) continue;
    SamplingOptions sampling = config.sampling;
    RowLimits limits = config.limits;
    if (all) {
      set(sampling, limits, name, value, config.run.model);
      config.sampling = sampling;
      config.limits = limits;
      shown.emplace_back(name, value);
      continue;
    }
    // A missing do_sample is not an explicit setting.
    if (name == "temperature" && content.count("do_sample") == 0 &&
        content.count("temperature") == 0) {
      continue;
    }
    bool differs = true;
    try {
      set(sampling, limits, name, value, config.run.model);
      differs = !(sampling == config.sampling && limits == config.limits);
    } catch (const FormatError&) {  // not taken, so it need not be right
    }
    if (differs) shown.emplace_back(name, value);
  }
  if (shown.empty()) return;
  if (all) {
    log::info("taken from {} of the model: {}", kFile, listed(shown));
  } else {
    log::warn("{} of the model is not in effect with: {}; --generation-config all takes it", kFile,
              listed(shown));
  }
}

}  // namespace gridmill::job_detail
