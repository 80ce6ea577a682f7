#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convert/config_fields_detail.hpp"
#include "convert/families/names.hpp"
#include "gridmill/model/model_spec.hpp"

namespace gridmill::convert_detail {

/// Token ids that a configuration class of transformers assumes; -1 and {} = none.
struct TokenDefaults {
  std::int64_t bos = -1;
  std::vector<std::int64_t> eod = {};
};

/// A family of Hugging Face models: its configuration as a description, its names as ours. Adding
/// one is a file with these functions and a line in families.cpp (docs/adding-a-family.md).
struct Family {
  std::string_view model_type;
  std::string_view architecture;
  TokenDefaults tokens;
  /// @throws FormatError naming the field; with the word `unsupported` for what does not run.
  ModelSpec (*read)(ConfigFields& config) = nullptr;
  /// Where a parameter of ours lies.
  ParameterTake (*take)(const WantedParameter& wanted) = nullptr;
  /// Adds tensors that are made from stored ones (see derived_tensors.hpp); may be nullptr.
  void (*derive)(ForeignTensors& tensors, const ModelSpec& model) = nullptr;
  /// Tensors that no text model needs and that are not reported; may be nullptr.
  bool (*harmless)(std::string_view tensor) = nullptr;
  /// Whether `read` reads quantization_config; else it is refused.
  bool reads_quantization = false;
};

/// Every family that is read by a description.
[[nodiscard]] std::span<const Family> families();

// A file a family.
[[nodiscard]] Family gemma_family();
[[nodiscard]] Family gemma2_family();
[[nodiscard]] Family gemma3_family();
[[nodiscard]] Family phi_family();
[[nodiscard]] Family phi3_family();
[[nodiscard]] Family olmo2_family();
[[nodiscard]] Family olmo3_family();
[[nodiscard]] Family olmoe_family();
[[nodiscard]] Family granite_family();
[[nodiscard]] Family glm_family();
[[nodiscard]] Family glm4_family();
[[nodiscard]] Family stablelm_family();
[[nodiscard]] Family smollm3_family();
[[nodiscard]] Family nemotron_family();
[[nodiscard]] Family starcoder2_family();
[[nodiscard]] Family cohere_family();
[[nodiscard]] Family cohere2_family();
[[nodiscard]] Family gpt_neox_family();
[[nodiscard]] Family gpt2_family();
[[nodiscard]] Family mixtral_family();
[[nodiscard]] Family qwen2_moe_family();
[[nodiscard]] Family qwen3_moe_family();
[[nodiscard]] Family gpt_oss_family();
[[nodiscard]] Family llama_family();
[[nodiscard]] Family mistral_family();
[[nodiscard]] Family qwen2_family();
[[nodiscard]] Family qwen3_family();
[[nodiscard]] Family mamba2_family();
[[nodiscard]] Family falcon_h1_family();
[[nodiscard]] Family qwen3_next_family();
[[nodiscard]] Family qwen3_5_family();
/// NX-AI's xlstm package, whose configuration has no model_type.
[[nodiscard]] Family xlstm_package_family();

}  // namespace gridmill::convert_detail
