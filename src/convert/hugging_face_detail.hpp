#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "convert/config_fields_detail.hpp"
#include "convert/foreign_model_detail.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::convert_detail {

/// Spellings of the same model that a folder can have.
enum class HuggingFaceFamily : std::uint8_t {
  llama,
  mistral,
  qwen2,
  qwen3,
  xlstm,
  xlstm_large,  ///< NX-AI's own names and rules (their PyTorch package)
};

/// Which family config.json describes, by model_type, else by architectures or NX-AI's fields.
/// @throws FormatError with the word `unsupported` for any other.
[[nodiscard]] HuggingFaceFamily hugging_face_family(ConfigFields& config);

/// gridmill's configuration for what config.json describes, token ids excepted.
/// @throws FormatError naming the field; `unsupported` for what gridmill does not compute.
[[nodiscard]] Json hugging_face_model(ConfigFields& config, HuggingFaceFamily family);
[[nodiscard]] Json llama_model(ConfigFields& config, HuggingFaceFamily family);
[[nodiscard]] Json xlstm_model(ConfigFields& config, HuggingFaceFamily family);

/// bos_id and eod_ids: of generation_config.json, else of config.json, else the family's defaults.
/// @param generation  content of generation_config.json; null without one.
void set_token_ids(Json& model, ConfigFields& config, HuggingFaceFamily family,
                   const Json& generation, const std::string& generation_where);

/// Where our parameters come from.
[[nodiscard]] ParameterTake take_from_llama(const ParameterSpec& spec);
[[nodiscard]] ParameterTake take_from_xlstm(const ParameterSpec& spec, const Json& model,
                                            HuggingFaceFamily family, bool fused);

/// Fields of every Hugging Face configuration that say nothing about how the model computes.
void ignore_common_fields(ConfigFields& config);

}  // namespace gridmill::convert_detail
