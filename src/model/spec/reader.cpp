#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "gridmill/base/format.hpp"
#include "model/config_reader.hpp"
#include "model/spec/check.hpp"
#include "model/spec/fields.hpp"
#include "model/spec/older_configurations.hpp"

namespace gridmill {

namespace model_detail {
namespace {

/// Fills the fields of a struct from an object, and refuses others.
class SpecReader {
 public:
  static constexpr bool kWrites = false;

  SpecReader(const Json& json, std::string where)
      : where_(std::move(where)), reader_(json, where_) {}

  void size(const char* name, std::int64_t& value) { value = reader_.size(name, 1); }
  void count(const char* name, std::int64_t& value) {
    value = reader_.size_or(name, static_cast<int>(value), 0);
  }
  void positive(const char* name, double& value) {
    value = reader_.number_or(name, value, 0);
    if (value <= 0) reader_.fail(fmt::format("{} is {}, expected more than 0", name, value));
  }
  void limit(const char* name, double& value) { value = reader_.number_or(name, value, 0); }
  void factor(const char* name, double& value) {
    value = reader_.number_or(name, value, std::numeric_limits<double>::lowest());
    if (value == 0) reader_.fail(fmt::format("{} is 0, expected another number", name));
  }
  void flag(const char* name, bool& value) { value = reader_.flag_or(name, value); }
  void positives(const char* name, std::vector<double>& values) {
    values = reader_.positive_numbers(name);
  }
  void maybe_size(const char* name, std::optional<std::int64_t>& value) {
    if (reader_.given(name)) value = reader_.integer(name, 1);
  }
  void maybe_index(const char* name, std::optional<std::int64_t>& value) {
    if (reader_.given(name)) value = reader_.size(name, 0);
  }
  template <typename T, std::size_t N>
  void choice(const char* name, T& value, const Labels<T, N>& labels) {
    if (!reader_.given(name)) return;
    const std::string chosen = reader_.text(name);
    std::string known;
    for (const auto& [label, meaning] : labels) {
      if (chosen == label) {
        value = meaning;
        return;
      }
      known += known.empty() ? std::string(label) : ", " + std::string(label);
    }
    reader_.unsupported(name, chosen, known);
  }
  template <typename Spec>
  void group(const char* name, Spec& spec) {
    SpecReader inner(reader_.object(name), where_ + "." + name);
    fields(inner, spec);
    inner.finish();
  }
  template <typename Spec>
  void maybe(const char* name, std::optional<Spec>& spec) {
    if (reader_.given(name)) group(name, spec.emplace());
  }
  void mixer(Mixer& mixer) {
    int found = 0;
    mixer_if_given<AttentionSpec>(mixer, found);
    mixer_if_given<FeedForwardSpec>(mixer, found);
    mixer_if_given<ExpertsSpec>(mixer, found);
    mixer_if_given<MlstmSpec>(mixer, found);
    mixer_if_given<LinearRecurrenceSpec>(mixer, found);
    mixer_if_given<SlstmSpec>(mixer, found);
    if (found != 1) {
      reader_.fail(
          fmt::format("has {} mixers, expected exactly one of the fields attention, "
                      "feed_forward, experts, mlstm, linear_recurrence, slstm",
                      found));
    }
  }
  void finish() const { reader_.finish(); }
  [[nodiscard]] ConfigReader& config() { return reader_; }

 private:
  template <typename Spec>
  void mixer_if_given(Mixer& mixer, int& found) {
    const char* name = mixer_name(Spec{});
    if (!reader_.given(name)) return;
    ++found;
    group(name, mixer.emplace<Spec>());
  }

  std::string where_;
  ConfigReader reader_;
};

template <typename Spec>
Spec read_object(const Json& json, std::string where) {
  Spec spec;
  SpecReader reader(json, std::move(where));
  fields(reader, spec);
  reader.finish();
  return spec;
}

LayerSpec read_layer_kind(const Json& json, const std::string& where) {
  ConfigReader reader(json, where);
  LayerSpec layer;
  const Json& blocks = reader.list("blocks");
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    layer.blocks.push_back(
        read_object<BlockSpec>(blocks[i], fmt::format("{}.blocks[{}]", where, i)));
  }
  reader.finish();
  return layer;
}

void read_layers(ConfigReader& reader, const std::string& where, ModelSpec& spec) {
  std::vector<LayerSpec> kinds;
  const Json& list = reader.list("layer_kinds");
  for (std::size_t i = 0; i < list.size(); ++i) {
    kinds.push_back(read_layer_kind(list[i], fmt::format("{}: layer_kinds[{}]", where, i)));
  }
  const std::vector<std::int64_t> layers = reader.integers_or_none("layers", 0);
  if (layers.empty() || layers.size() > kMostLayers) {
    reader.fail(fmt::format("layers has {} entries, expected 1 to {}", layers.size(), kMostLayers));
  }
  for (const std::int64_t kind : layers) {
    if (kind >= static_cast<std::int64_t>(kinds.size())) {
      reader.fail(
          fmt::format("layers holds {}, but layer_kinds has {} entries", kind, kinds.size()));
    }
    spec.layers.push_back(kinds[static_cast<std::size_t>(kind)]);
  }
}

}  // namespace
}  // namespace model_detail

ModelSpec read_model_spec(const Json& config) {
  using namespace model_detail;
  const std::string where = "model configuration";
  ConfigReader reader(config, where);
  ModelSpec spec;
  if (!reader.given("format")) {
    spec = read_older_configuration(config);
  } else {
    const std::int64_t format = reader.integer("format", 1);
    if (format > kModelFormat) {
      reader.fail(fmt::format("format is {}: a newer gridmill wrote it; this one reads up to {}",
                              format, kModelFormat));
    }
    if (format != kModelFormat) {
      reader.fail(fmt::format("format is {}, expected {}", format, kModelFormat));
    }
    spec.family = reader.text("family");
    const TokenFields tokens = read_token_fields(reader);
    spec.vocab_size = tokens.vocab_size;
    spec.bos_id = tokens.bos_id;
    spec.eod_ids = tokens.eod_ids;
    spec.max_length = tokens.max_length;
    spec.hidden_size = reader.size("hidden_size", 1);
    spec.embedding = read_object<EmbeddingSpec>(reader.object("embedding"), where + ": embedding");
    const Json& rotary = reader.list("rotary");
    for (std::size_t i = 0; i < rotary.size(); ++i) {
      spec.rotary.push_back(
          read_object<RotarySpec>(rotary[i], fmt::format("{}: rotary[{}]", where, i)));
    }
    read_layers(reader, where, spec);
    spec.head = read_object<HeadSpec>(reader.object("head"), where + ": head");
    reader.finish();
  }
  check_model_spec(spec);
  return spec;
}

}  // namespace gridmill
