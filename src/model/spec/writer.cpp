#include <algorithm>
#include <string>

#include "model/spec/fields.hpp"

namespace gridmill {

namespace model_detail {
namespace {

/// Writes every field of a struct into an object.
class SpecWriter {
 public:
  static constexpr bool kWrites = true;

  void size(const char* name, const std::int64_t& value) { json_[name] = value; }
  void count(const char* name, const std::int64_t& value) { json_[name] = value; }
  void positive(const char* name, const double& value) { json_[name] = value; }
  void limit(const char* name, const double& value) { json_[name] = value; }
  void factor(const char* name, const double& value) { json_[name] = value; }
  void flag(const char* name, const bool& value) { json_[name] = value; }
  void positives(const char* name, const std::vector<double>& values) { json_[name] = values; }
  void maybe_size(const char* name, const std::optional<std::int64_t>& value) {
    if (value) json_[name] = *value;
  }
  void maybe_index(const char* name, const std::optional<std::int64_t>& value) {
    maybe_size(name, value);
  }
  template <typename T, std::size_t N>
  void choice(const char* name, const T& value, const Labels<T, N>& labels) {
    const auto* found = std::find_if(labels.begin(), labels.end(),
                                     [&](const auto& label) { return label.second == value; });
    json_[name] = std::string(found->first);
  }
  template <typename Spec>
  void group(const char* name, const Spec& spec) {
    SpecWriter inner;
    fields(inner, spec);
    json_[name] = inner.take();
  }
  template <typename Spec>
  void maybe(const char* name, const std::optional<Spec>& spec) {
    if (spec) group(name, *spec);
  }
  void mixer(const Mixer& mixer) {
    std::visit([&](const auto& spec) { group(mixer_name(spec), spec); }, mixer);
  }
  [[nodiscard]] Json take() { return std::move(json_); }

 private:
  Json json_ = Json::object();
};

template <typename Spec>
Json object_of(const Spec& spec) {
  SpecWriter writer;
  fields(writer, spec);
  return writer.take();
}

Json object_of_layer(const LayerSpec& layer) {
  Json blocks = Json::array();
  for (const BlockSpec& block : layer.blocks) blocks.push_back(object_of(block));
  return {{"blocks", std::move(blocks)}};
}

}  // namespace
}  // namespace model_detail

Json to_json(const ModelSpec& spec) {
  using model_detail::object_of;
  Json rotary = Json::array();
  for (const RotarySpec& table : spec.rotary) rotary.push_back(object_of(table));
  // Equal layers are written once.
  std::vector<LayerSpec> kinds;
  Json layers = Json::array();
  for (const LayerSpec& layer : spec.layers) {
    const auto found = std::find(kinds.begin(), kinds.end(), layer);
    layers.push_back(found - kinds.begin());
    if (found == kinds.end()) kinds.push_back(layer);
  }
  Json layer_kinds = Json::array();
  for (const LayerSpec& kind : kinds) layer_kinds.push_back(model_detail::object_of_layer(kind));
  return {{"format", kModelFormat},        {"family", spec.family},
          {"vocab_size", spec.vocab_size}, {"hidden_size", spec.hidden_size},
          {"max_length", spec.max_length}, {"bos_id", spec.bos_id},
          {"eod_ids", spec.eod_ids},       {"embedding", object_of(spec.embedding)},
          {"rotary", std::move(rotary)},   {"layer_kinds", std::move(layer_kinds)},
          {"layers", std::move(layers)},   {"head", object_of(spec.head)}};
}

}  // namespace gridmill
