#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "convert/config_fields_detail.hpp"
#include "convert/families/family.hpp"
#include "convert/foreign_model_detail.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::convert_detail {

/// Spellings of an xLSTM that a folder can have.
enum class XlstmForm : std::uint8_t {
  transformers,
  large,  ///< NX-AI's own names and rules (their PyTorch package)
};

/// The part of a config.json that describes the text model: all of it, or its text_config with what
/// stands beside it (token ids, tied embeddings).
struct TextConfig {
  Json fields;
  std::string where;    ///< names it in messages
  bool nested = false;  ///< its tensors have a prefix: see strip_text_prefix
};
[[nodiscard]] TextConfig text_config_of(const Json& config, const std::string& where);
/// Gives the tensors of a nested text model the names that they have in a model of text alone.
void strip_text_prefix(ForeignTensors& tensors);

/// The family that config.json describes, by model_type, else by architectures; nullptr for xLSTM.
/// @throws FormatError with the word `unsupported` for any other.
[[nodiscard]] const Family* hugging_face_family(ConfigFields& config);
/// Form of an xLSTM as far as the configuration determines it.
[[nodiscard]] XlstmForm xlstm_form(ConfigFields& config);

/// The description without token ids. Fields that were not read are left to `config`.
/// @throws FormatError naming the field; `unsupported` for what gridmill does not compute.
[[nodiscard]] ModelSpec read_family(ConfigFields& config, const Family& family);
/// gridmill's configuration of an xLSTM, token ids excepted.
[[nodiscard]] Json xlstm_model(ConfigFields& config, XlstmForm form);
/// Defaults of transformers for an xLSTM's tokens.
[[nodiscard]] TokenDefaults xlstm_tokens(XlstmForm form);

/// bos_id and eod_ids: of generation_config.json, else of config.json, else `defaults`.
/// @param generation  content of generation_config.json; null without one.
void set_token_ids(Json& model, ConfigFields& config, const TokenDefaults& defaults,
                   const Json& generation, const std::string& generation_where);

/// Where the parameters of a described model come from.
[[nodiscard]] ParameterTake take_from_family(const ParameterSpec& spec, const ModelSpec& model,
                                             const Family& family, const ForeignTensors& tensors);
[[nodiscard]] ParameterTake take_from_xlstm(const ParameterSpec& spec, const Json& model,
                                            XlstmForm form, bool fused);

/// Fields of every Hugging Face configuration that say nothing about how the model computes.
void ignore_common_fields(ConfigFields& config);

}  // namespace gridmill::convert_detail
