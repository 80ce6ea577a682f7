#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/bench/bench.hpp"

namespace gridmill {

namespace {

struct Shape {
  std::string_view name;
  std::string_view config;
};

// The sizes of Llama 2 (Karpathy's llama2.c 110M, TinyLlama 1.1B), Llama 3.1 8B and NX-AI's xLSTM
// (7B, and the same rules at a width of 1536); Mamba-2 780M (state-spaces/mamba2-780m); a gated
// delta net with the structure of Qwen3.5 at the width, depth and vocabulary of Qwen3 0.6B.
constexpr std::array<Shape, 7> kShapes = {{
    {"llama-110m", R"({"family": "llama", "vocab_size": 32000, "hidden_size": 768, "layers": 12,
       "heads": 12, "kv_heads": 12, "head_dim": 64, "intermediate_size": 2048, "norm_eps": 1e-5,
       "tied": true, "max_length": 2048, "rotary": {"type": "default", "theta": 10000.0}})"},
    {"llama-1b", R"({"family": "llama", "vocab_size": 32000, "hidden_size": 2048, "layers": 22,
       "heads": 32, "kv_heads": 4, "head_dim": 64, "intermediate_size": 5632, "norm_eps": 1e-5,
       "max_length": 2048, "rotary": {"type": "default", "theta": 10000.0}})"},
    {"llama-8b", R"({"family": "llama", "vocab_size": 128256, "hidden_size": 4096, "layers": 32,
       "heads": 32, "kv_heads": 8, "head_dim": 128, "intermediate_size": 14336, "norm_eps": 1e-5,
       "max_length": 8192, "rotary": {"type": "default", "theta": 500000.0}})"},
    {"xlstm-500m", R"({"family": "xlstm", "vocab_size": 50304, "hidden_size": 1536, "layers": 12,
       "heads": 4, "qk_dim": 768, "v_dim": 1536, "ffn_size": 4096, "norm_eps": 1e-6,
       "gate_soft_cap": 15.0, "logit_soft_cap": 30.0})"},
    {"xlstm-7b", R"({"family": "xlstm", "vocab_size": 50304, "hidden_size": 4096, "layers": 32,
       "heads": 8, "qk_dim": 2048, "v_dim": 4096, "ffn_size": 10944, "norm_eps": 1e-6,
       "gate_soft_cap": 15.0, "logit_soft_cap": 30.0})"},
    {"mamba2-780m", R"({"format": 2, "family": "mamba2", "vocab_size": 50288, "hidden_size": 1536,
       "embedding": {}, "rotary": [], "head": {"norm": {"eps": 1e-5}, "tied": true},
       "layer_kinds": [{"blocks": [{"norm": {"eps": 1e-5}, "linear_recurrence": {"heads": 48,
         "key_heads": 1, "key_width": 128, "value_width": 64, "update": "add", "conv_kernel": 4,
         "conv_bias": true, "skip": true, "gate_first": true,
         "norm": {"norm": {"eps": 1e-5}, "groups": 1}}}]}],
       "layers": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]})"},
    {"qwen3.5-600m", R"({"format": 2, "family": "qwen3_5_text", "vocab_size": 151936,
       "hidden_size": 1024, "max_length": 32768, "embedding": {},
       "rotary": [{"width": 64, "theta": 10000000.0}], "head": {"norm": {}, "tied": true},
       "layer_kinds": [
         {"blocks": [{"norm": {}, "linear_recurrence": {"heads": 16, "key_heads": 16,
            "key_width": 128, "value_width": 128, "update": "delta", "conv_kernel": 4,
            "l2_norm_eps": 1e-6, "query_scale": 0.08838834764831845,
            "norm": {"norm": {}, "groups": 16, "shared_weight": true}}},
          {"norm": {}, "feed_forward": {"size": 3072}}]},
         {"blocks": [{"norm": {}, "attention": {"heads": 8, "kv_heads": 2, "head_width": 256,
            "rotary": 0, "score_scale": 0.0625, "output_gate": true,
            "qk_norm": {"scope": "head", "norm": {}}}},
          {"norm": {}, "feed_forward": {"size": 3072}}]}],
       "layers": [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1,
                  0, 0, 0, 1]})"},
}};

}  // namespace

const std::vector<std::string>& bench_shapes() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    all.reserve(kShapes.size());
    for (const Shape& shape : kShapes) all.emplace_back(shape.name);
    return all;
  }();
  return names;
}

Json model_of_shape(const std::string& shape, const ConfigTranslator& translate) {
  for (const Shape& known : kShapes) {
    if (known.name == shape) return parse_json(known.config, shape);
  }
  if (!shape.ends_with(".json")) {
    throw UsageError(fmt::format("--shape is '{}', expected {} or a config.json", shape,
                                 fmt::join(bench_shapes(), ", ")));
  }
  Json config = parse_json(read_text_file(shape), shape);
  if (config.is_object() && config.contains("family")) return config;
  if (!translate) {
    throw UsageError(fmt::format(
        "--shape {} is not gridmill's own configuration (it has no \"family\"), and this gridmill "
        "was built without MPI and HDF5, hence without converters; give {}, or gridmill's own",
        shape, fmt::join(bench_shapes(), ", ")));
  }
  return translate(config, shape);
}

}  // namespace gridmill
