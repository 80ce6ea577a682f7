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
// (7B, and the same rules at a width of 1536).
constexpr std::array<Shape, 5> kShapes = {{
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
