#include <array>
#include <string>
#include <string_view>
#include <variant>

#include "convert/gguf/gguf.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

/// Our leaf and the tensor without ".weight" or ".bias".
constexpr std::array<NamePair, 19> kInLayer = {{
    {"attention_norm", "attn_norm"},
    {"attention_post_norm", "post_attention_norm"},
    {"ffn_norm", "ffn_norm"},
    {"ffn_post_norm", "post_ffw_norm"},
    {"q", "attn_q"},
    {"k", "attn_k"},
    {"v", "attn_v"},
    {"o", "attn_output"},
    {"q_norm", "attn_q_norm"},
    {"k_norm", "attn_k_norm"},
    {"sinks", "attn_sinks"},
    {"gate", "ffn_gate"},
    {"up", "ffn_up"},
    {"down", "ffn_down"},
    {"router", "ffn_gate_inp"},
    {"shared_gate", "ffn_gate_shexp"},
    {"shared_up", "ffn_up_shexp"},
    {"shared_down", "ffn_down_shexp"},
    {"shared_router", "ffn_gate_inp_shexp"},
}};
constexpr std::array<NamePair, 4> kOuter = {{
    {"embedding", "token_embd"},
    {"positions", "position_embd"},
    {"final_norm", "output_norm"},
    {"head", "output"},
}};

template <typename Pairs>
std::string tensor_of(const Pairs& pairs, std::string_view leaf, const std::string& parameter) {
  for (const auto& [ours, theirs] : pairs) {
    if (!theirs.empty() && ours == leaf) return std::string(theirs);
  }
  throw_no_source(parameter);
}

/// Rows of one expert in the tensor of all of them [experts, out, in], or (older files) a tensor of
/// its own.
ParameterTake take_expert(const WantedParameter& wanted, std::int64_t expert,
                          const std::string& name, const std::string& block) {
  const std::string matrix = tensor_of(kInLayer, name, wanted.spec.name);
  const std::string alone = fmt::format("{}{}.{}.weight", block, matrix, expert);
  if (wanted.tensors.contains(alone)) return take_whole(alone, wanted.spec);
  std::int64_t experts = 0;
  for (const BlockSpec& one :
       wanted.model.layers.at(static_cast<std::size_t>(*wanted.layer)).blocks) {
    if (const auto* spec = std::get_if<ExpertsSpec>(&one.mixer)) experts = spec->experts;
  }
  const std::int64_t rows = rows_of(wanted.spec);
  const std::int64_t columns = columns_of(wanted.spec);
  return {.tensor = block + matrix + "_exps.weight",
          .shape = {experts, rows, columns},
          .blocks = {{.rows = {0, rows},
                      .columns = {0, columns},
                      .first = expert * rows * columns,
                      .row_stride = columns,
                      .column_stride = 1}}};
}

/// q, k or v: a tensor of its own, or rows of attn_qkv.
ParameterTake take_projection(const WantedParameter& wanted, const std::string& block,
                              const std::string& matrix, const std::string& ending) {
  const std::string fused = block + "attn_qkv" + ending;
  const AttentionSpec& attention = wanted.attention();
  if (!wanted.tensors.contains(fused)) return take_whole(block + matrix + ending, wanted.spec);
  const std::int64_t queries = attention.heads * attention.head_width;
  const std::int64_t keys = attention.kv_heads * attention.head_width;
  const std::int64_t first = matrix == "attn_q" ? 0 : queries + (matrix == "attn_k" ? 0 : keys);
  return take_rows(fused, wanted.spec, first, queries + 2 * keys);
}

}  // namespace

ParameterTake take_from_gguf(const WantedParameter& wanted, const GgufArchitecture& architecture) {
  constexpr std::string_view kBias = "_bias";
  const bool bias = wanted.leaf.ends_with(kBias);
  const std::string ending = bias ? ".bias" : ".weight";
  const std::string leaf =
      bias ? wanted.leaf.substr(0, wanted.leaf.size() - kBias.size()) : wanted.leaf;
  if (!wanted.layer) {
    return take_whole(tensor_of(kOuter, leaf, wanted.spec.name) + ending, wanted.spec);
  }
  const std::string block = fmt::format("blk.{}.", *wanted.layer);
  if (const auto expert = expert_of(wanted.leaf)) {
    return take_expert(wanted, expert->first, expert->second, block);
  }
  const std::string matrix = tensor_of(kInLayer, leaf, wanted.spec.name);
  if (leaf == "q" || leaf == "k" || leaf == "v") {
    ParameterTake take = take_projection(wanted, block, matrix, ending);
    if (architecture.interleaved && leaf != "v") take.rotary_width = wanted.attention().head_width;
    return take;
  }
  ParameterTake take = take_whole(block + matrix + ending, wanted.spec);
  if (!bias && (leaf == "router" || leaf == "shared_router")) {
    const std::int64_t width = wanted.model.hidden_size;
    const std::int64_t outputs = rows_of(wanted.spec) / width;
    take.shape = leaf == "router" ? Extents{outputs, width} : Extents{width};
    const ForeignTensor* found = wanted.tensors.find(take.tensor);
    if (found != nullptr && found->shape() == Extents{outputs, width}) take.shape = found->shape();
    return take;
  }
  // Phi-3 has the gate's rows in front of those of `up`, in one tensor.
  if ((leaf == "gate" || leaf == "up") && !wanted.tensors.contains(block + "ffn_gate.weight")) {
    const ForeignTensor* found = wanted.tensors.find(block + "ffn_up" + ending);
    const std::int64_t rows = rows_of(wanted.spec);
    if (found != nullptr && !found->shape().empty() && found->shape()[0] == 2 * rows) {
      return take_rows(block + "ffn_up" + ending, wanted.spec, leaf == "gate" ? 0 : rows, 2 * rows);
    }
  }
  return take;
}

}  // namespace gridmill::convert_detail
