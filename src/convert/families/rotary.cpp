#include "convert/families/rotary.hpp"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

/// Beside the rotary object, else inside it, else the longest row.
double original_positions(ConfigFields& config, ConfigFields& rope, std::int64_t max_positions) {
  const char* name = "original_max_position_embeddings";
  if (config.given(name)) {
    rope.ignore({name});
    return static_cast<double>(config.size(name));
  }
  return static_cast<double>(rope.size(name, max_positions));
}

/// 0.1 m ln s + 1.
double yarn_magnitude(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

void read_yarn(ConfigFields& config, ConfigFields& rope, std::int64_t max_positions,
               RotarySpec& rotary) {
  rotary.scaling = RotaryScaling::yarn;
  rotary.factor = rope.positive("factor");
  rotary.original_max_position = original_positions(config, rope, max_positions);
  rotary.beta_fast = rope.positive("beta_fast", 32);
  rotary.beta_slow = rope.positive("beta_slow", 1);
  rotary.truncate = rope.flag("truncate", true);
  const double mscale = rope.number("mscale", 0);
  const double mscale_all = rope.number("mscale_all_dim", 0);
  rotary.magnitude = yarn_magnitude(rotary.factor, 1);
  if (mscale != 0 && mscale_all != 0) {
    rotary.magnitude =
        yarn_magnitude(rotary.factor, mscale) / yarn_magnitude(rotary.factor, mscale_all);
  }
  rotary.magnitude = rope.positive("attention_factor", rotary.magnitude);
  // transformers does not read attn_factor; finetuned is information.
  rope.ignore({"attn_factor", "finetuned"});
}

std::vector<double> factors(ConfigFields& rope, const std::string& name, std::int64_t count) {
  const Json* list = rope.value(name);
  if (list == nullptr || !list->is_array() || list->size() != static_cast<std::size_t>(count)) {
    rope.fail(name, fmt::format("is no list of {} numbers", count));
  }
  std::vector<double> values;
  for (const Json& value : *list) {
    if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>())) {
      rope.fail(name, "holds something else than positive numbers");
    }
    values.push_back(value.get<double>());
  }
  return values;
}

void read_longrope(ConfigFields& config, ConfigFields& rope, std::int64_t max_positions,
                   RotarySpec& rotary) {
  rotary.scaling = RotaryScaling::longrope;
  const char* name = "original_max_position_embeddings";
  double factor = 1;
  if (config.given(name) || rope.given(name)) {
    rotary.original_max_position = original_positions(config, rope, max_positions);
    factor = static_cast<double>(max_positions) / rotary.original_max_position;
    rope.ignore({"factor"});
  } else {
    rotary.original_max_position = static_cast<double>(max_positions);
    factor = rope.positive("factor");
  }
  rotary.short_factors = factors(rope, "short_factor", rotary.width / 2);
  rotary.long_factors = factors(rope, "long_factor", rotary.width / 2);
  const double grown =
      factor <= 1 ? 1 : std::sqrt(1 + std::log(factor) / std::log(rotary.original_max_position));
  rotary.magnitude = rope.positive("attention_factor", grown);
}

/// Rotated part of a head.
double rotated_part(ConfigFields& config, ConfigFields& rope, const RotaryDefaults& defaults) {
  // transformers 5 moves the part into the rotary object, under one name for all families.
  const char* inside = "partial_rotary_factor";
  if (defaults.part_field == nullptr) {
    rope.refuse({inside}, true);
    return 1;
  }
  const double part =
      config.positive(defaults.part_field,
                      rope.positive(inside, rope.positive(defaults.part_field, defaults.part)));
  if (part > 1) config.fail(defaults.part_field, fmt::format("is {}, more than 1", part));
  return part;
}

/// The settings in `rope`, an object of its own or (with nothing to read) an empty one.
RotarySpec read_settings(ConfigFields& config, ConfigFields& rope, std::int64_t head_width,
                         std::int64_t max_positions, const RotaryDefaults& defaults) {
  RotarySpec rotary;
  const double part = rotated_part(config, rope, defaults);
  rotary.width = static_cast<std::int64_t>(static_cast<double>(head_width) * part);
  if (rotary.width < 2 || rotary.width % 2 != 0) {
    config.fail(defaults.part_field == nullptr ? "head_dim" : defaults.part_field,
                fmt::format("rotates {} of {} components of a head, expected an even number",
                            rotary.width, head_width));
  }
  rotary.theta = rope.positive("rope_theta", config.positive(defaults.theta_field, defaults.theta));
  // Old files say "type"; transformers 5 may leave out the default.
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  if (type == "default") {
    rope.ignore(
        {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"});
  } else if (type == "linear") {
    rotary.scaling = RotaryScaling::linear;
    rotary.factor = rope.positive("factor");
    rope.ignore({"original_max_position_embeddings"});
  } else if (type == "llama3") {
    rotary.scaling = RotaryScaling::llama3;
    rotary.factor = rope.positive("factor");
    rotary.low_freq_factor = rope.positive("low_freq_factor");
    rotary.high_freq_factor = rope.positive("high_freq_factor");
    rotary.original_max_position = original_positions(config, rope, max_positions);
    if (rotary.high_freq_factor <= rotary.low_freq_factor) {
      rope.fail("high_freq_factor", "must be larger than low_freq_factor");
    }
  } else if (type == "yarn") {
    read_yarn(config, rope, max_positions, rotary);
  } else if (type == "longrope" || type == "su") {
    read_longrope(config, rope, max_positions, rotary);
  } else {
    rope.fail("rope_type",
              "is \"" + type +
                  "\": this rotary embedding is unsupported; supported are default, linear, "
                  "llama3, yarn and longrope");
  }
  // All position axes of a text are equal: these change nothing.
  rope.ignore({"mrope_section", "mrope_interleaved"});
  for (const std::string& name : rope.unread()) {
    rope.fail(name, "of the rotary embedding is unsupported");
  }
  return rotary;
}

/// rope_scaling or rope_parameters, whichever is given; both must agree.
const Json* settings_of(ConfigFields& config) {
  const Json* scaling = config.value("rope_scaling");
  const Json* parameters = config.value("rope_parameters");
  if (scaling != nullptr && parameters != nullptr && *scaling != *parameters) {
    config.fail("rope_scaling", "contradicts rope_parameters; leave one of them");
  }
  return scaling != nullptr ? scaling : parameters;
}

const Json kNoSettings = Json::object();

}  // namespace

RotarySpec read_rotary(ConfigFields& config, std::int64_t head_width, std::int64_t max_positions,
                       const RotaryDefaults& defaults) {
  const Json* found = settings_of(config);
  ConfigFields rope(found == nullptr ? kNoSettings : *found, config.where() + ": rotary settings");
  const bool typed = rope.given("rope_type") || rope.given("type");
  if (found != nullptr && !typed && config.given("rope_scaling")) {
    rope.fail("rope_type", "is missing, expected text");
  }
  return read_settings(config, rope, head_width, max_positions, defaults);
}

RotaryPair read_rotary_pair(ConfigFields& config, std::int64_t head_width,
                            std::int64_t max_positions, const RotaryDefaults& defaults,
                            double windowed_theta) {
  const Json* found = settings_of(config);
  if (found != nullptr && found->is_object() && found->contains("full_attention")) {
    const auto settings = [&](const char* type) {
      const auto one = found->find(type);
      if (one == found->end()) {
        config.fail("rope_parameters", fmt::format("has no settings for {}", type));
      }
      ConfigFields rope(*one, config.where() + ": rotary settings of " + type);
      return read_settings(config, rope, head_width, max_positions, defaults);
    };
    return {.full = settings("full_attention"), .windowed = settings("sliding_attention")};
  }
  RotaryPair pair{.full = read_rotary(config, head_width, max_positions, defaults), .windowed = {}};
  pair.windowed.width = pair.full.width;
  pair.windowed.theta = windowed_theta;
  return pair;
}

}  // namespace gridmill::convert_detail
