#pragma once

#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/convert/convert.hpp"
#include "support/safetensors_writer.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::test {

/// What the checkpoint `file` stores for `name`, as fp32.
inline std::vector<float> stored_values(const CheckpointFile& file, const std::string& name) {
  for (const StoredParameter& parameter : file.parameters()) {
    if (parameter.spec.name != name) continue;
    const std::int64_t rows = parameter.spec.shape.at(0);
    const std::int64_t columns = parameter.spec.shape.size() > 1 ? parameter.spec.shape[1] : 1;
    std::vector<std::byte> bytes(static_cast<std::size_t>(rows * columns) *
                                 size_of(parameter.dtype));
    file.read(parameter, {0, rows}, {0, columns}, bytes);
    std::vector<float> values(static_cast<std::size_t>(rows * columns));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (parameter.dtype == DType::fp32) {
        std::memcpy(&values[i], bytes.data() + i * 4, 4);
      } else {
        Bf16 bits = 0;
        std::memcpy(&bits, bytes.data() + i * 2, 2);
        values[i] = bf16_to_fp32(bits);
      }
    }
    return values;
  }
  throw FormatError("no parameter " + name);
}

/// Stored type of a parameter.
inline DType stored_dtype(const CheckpointFile& file, const std::string& name) {
  for (const StoredParameter& parameter : file.parameters()) {
    if (parameter.spec.name == name) return parameter.dtype;
  }
  throw FormatError("no parameter " + name);
}

/// The exit code and the message of an error, or {ok, ""}.
struct Outcome {
  ExitCode code = ExitCode::ok;
  std::string message;
};
template <typename Action>
Outcome outcome_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}
/// Converts and tells how it ended.
inline Outcome convert_outcome(const ConvertOptions& options) {
  return outcome_of([&] { convert(options); });
}

/// Whether `text` contains all of `parts`.
inline bool contains_all(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (text.find(part) == std::string::npos) return false;
  }
  return true;
}

/// A Hugging Face folder of a tiny Llama model that can be bent before it is converted.
struct TinyLlama {
  Json config = {{"model_type", "llama"},    {"architectures", {"LlamaForCausalLM"}},
                 {"vocab_size", 16},         {"hidden_size", 8},
                 {"intermediate_size", 12},  {"num_hidden_layers", 2},
                 {"num_attention_heads", 4}, {"num_key_value_heads", 2},
                 {"rms_norm_eps", 1e-5},     {"max_position_embeddings", 64},
                 {"rope_theta", 10000.0},    {"tie_word_embeddings", false},
                 {"bos_token_id", 1},        {"eos_token_id", 2}};
  SafetensorsWriter weights;

  TinyLlama() {
    weights.add_random("model.embed_tokens.weight", {16, 8});
    for (int layer = 0; layer < 2; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      weights.add_random(prefix + "input_layernorm.weight", {8});
      weights.add_random(prefix + "post_attention_layernorm.weight", {8});
      weights.add_random(prefix + "self_attn.q_proj.weight", {8, 8});
      weights.add_random(prefix + "self_attn.k_proj.weight", {4, 8});
      weights.add_random(prefix + "self_attn.v_proj.weight", {4, 8});
      weights.add_random(prefix + "self_attn.o_proj.weight", {8, 8});
      weights.add_random(prefix + "mlp.gate_proj.weight", {12, 8});
      weights.add_random(prefix + "mlp.up_proj.weight", {12, 8});
      weights.add_random(prefix + "mlp.down_proj.weight", {8, 12});
    }
    weights.add_random("model.norm.weight", {8});
    weights.add_random("lm_head.weight", {16, 8});
  }
  /// Writes config.json and model.safetensors. @return the folder
  std::string write(const TemporaryFolder& folder) const {
    folder.write("config.json", config.dump());
    folder.write("model.safetensors", weights.bytes());
    return folder.path().string();
  }
};

}  // namespace gridmill::test
