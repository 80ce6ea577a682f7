#include "convert/families/names.hpp"

#include <array>
#include <charconv>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 18> kLlamaLayer = {{
    {"attention_norm", "input_layernorm.weight"},
    {"ffn_norm", "post_attention_layernorm.weight"},
    {"q", "self_attn.q_proj.weight"},
    {"k", "self_attn.k_proj.weight"},
    {"v", "self_attn.v_proj.weight"},
    {"o", "self_attn.o_proj.weight"},
    {"q_bias", "self_attn.q_proj.bias"},
    {"k_bias", "self_attn.k_proj.bias"},
    {"v_bias", "self_attn.v_proj.bias"},
    {"o_bias", "self_attn.o_proj.bias"},
    {"q_norm", "self_attn.q_norm.weight"},
    {"k_norm", "self_attn.k_norm.weight"},
    {"gate", "mlp.gate_proj.weight"},
    {"up", "mlp.up_proj.weight"},
    {"down", "mlp.down_proj.weight"},
    {"gate_bias", "mlp.gate_proj.bias"},
    {"up_bias", "mlp.up_proj.bias"},
    {"down_bias", "mlp.down_proj.bias"},
}};
constexpr std::array<NamePair, 3> kLlamaOuter = {{
    {"embedding", "model.embed_tokens.weight"},
    {"final_norm", "model.norm.weight"},
    {"head", "lm_head.weight"},
}};

std::optional<std::string_view> find(std::span<const NamePair> pairs, std::string_view leaf) {
  for (const auto& [ours, theirs] : pairs) {
    if (ours == leaf) return theirs;
  }
  return std::nullopt;
}

}  // namespace

const AttentionSpec& WantedParameter::attention() const {
  if (layer) {
    for (const BlockSpec& block : model.layers.at(static_cast<std::size_t>(*layer)).blocks) {
      if (const auto* attention = std::get_if<AttentionSpec>(&block.mixer)) return *attention;
    }
  }
  throw InternalError(spec.name + " belongs to no attention");
}

std::string foreign_name(const WantedParameter& wanted, const Names& names) {
  std::optional<std::string_view> found =
      find(wanted.layer ? names.in_layer : names.outer, wanted.leaf);
  if (!found) {
    found = wanted.layer ? find(kLlamaLayer, wanted.leaf) : find(kLlamaOuter, wanted.leaf);
  }
  if (!found || found->empty()) throw_no_source(wanted.spec.name);
  if (!wanted.layer) return std::string(*found);
  return fmt::format(fmt::runtime(names.layer_prefix), *wanted.layer) + std::string(*found);
}

ParameterTake take_named(const WantedParameter& wanted, const Names& names) {
  return take_whole(foreign_name(wanted, names), wanted.spec);
}

ParameterTake take_flattened(const WantedParameter& wanted, const Names& names, Extents shape) {
  ParameterTake take = take_named(wanted, names);
  take.shape = std::move(shape);
  return take;
}

ParameterTake take_with_interleaved_heads(const WantedParameter& wanted, const Names& names) {
  ParameterTake take = take_named(wanted, names);
  const std::string& leaf = wanted.leaf;
  if (leaf != "q" && leaf != "k" && leaf != "q_bias" && leaf != "k_bias") return take;
  const AttentionSpec& attention = wanted.attention();
  if (!attention.rotary) return take;
  take.rotary_width = attention.head_width;
  take.rotated_rows = wanted.model.rotary.at(static_cast<std::size_t>(*attention.rotary)).width;
  return take;
}

ParameterTake take_stacked(const WantedParameter& wanted, const std::string& tensor,
                           std::int64_t first, std::int64_t total) {
  return take_rows(tensor, wanted.spec, first, total);
}

ParameterTake take_heads(const WantedParameter& wanted, const std::string& tensor,
                         std::int64_t head_rows, std::int64_t stride, std::int64_t offset,
                         std::int64_t total) {
  const std::int64_t columns = columns_of(wanted.spec);
  ParameterTake take{.tensor = tensor, .shape = wanted.spec.shape};
  take.shape[0] = total;
  for (std::int64_t head = 0; head * head_rows < rows_of(wanted.spec); ++head) {
    take.blocks.push_back({.rows = {head * head_rows, head_rows},
                           .columns = {0, columns},
                           .first = (head * stride + offset) * columns,
                           .row_stride = columns,
                           .column_stride = 1});
  }
  return take;
}

ParameterTake take_transposed(const WantedParameter& wanted, const std::string& tensor,
                              std::int64_t first, std::int64_t total) {
  const std::int64_t rows = rows_of(wanted.spec);
  if (wanted.spec.shape.size() == 1) return take_rows(tensor, wanted.spec, first, total);
  const std::int64_t columns = columns_of(wanted.spec);
  return {.tensor = tensor,
          .shape = {columns, total},
          .blocks = {{.rows = {0, rows},
                      .columns = {0, columns},
                      .first = first,
                      .row_stride = 1,
                      .column_stride = total}}};
}

std::optional<std::pair<std::int64_t, std::string>> expert_of(const std::string& leaf) {
  constexpr std::string_view kPrefix = "experts.";
  if (!leaf.starts_with(kPrefix)) return std::nullopt;
  std::int64_t expert = 0;
  const char* end = leaf.data() + leaf.size();
  const auto [rest, error] = std::from_chars(leaf.data() + kPrefix.size(), end, expert);
  if (error != std::errc() || rest == end || *rest != '.') return std::nullopt;
  return std::pair(expert, std::string(rest + 1, end));
}

}  // namespace gridmill::convert_detail
