#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "convert/foreign_tensor_detail.hpp"
#include "convert/model_folder.hpp"
#include "convert/parameter_take_detail.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill::convert_detail {

/// More layers than any model has; keeps a damaged configuration from asking for endless work.
inline constexpr std::int64_t kMostLayers = 10000;

/// A foreign checkpoint, understood: what convert() then writes. Every format makes one of these.
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct ForeignModel {
  std::string kind;   ///< "Hugging Face", "llama2.c", "xlstm-jax"
  std::string where;  ///< names it in messages: a folder or a file
  Json model;         ///< gridmill's configuration (docs/models.md)
  ForeignTensors tensors;
  /// Where each of our parameters comes from. The tensors are those above: what is taken may depend
  /// on the form in which they are stored.
  std::function<ParameterTake(const ParameterSpec&, const ForeignTensors&)> take;
  /// Foreign tensors that are not needed and not reported; empty = none.
  std::function<bool(std::string_view)> harmless;
  std::map<std::string, std::string> files;  ///< verbatim into the checkpoint
  /// The folder that the model lies in, maybe with a tokenizer; none for a single file.
  std::shared_ptr<ModelFolder> folder;
};

/// A parameter name of ours, taken apart: "layers.3.q_bias" is layer 3, "q_bias".
struct ParameterName {
  std::optional<std::int64_t> layer = std::nullopt;
  std::string leaf;
};
[[nodiscard]] ParameterName split_parameter_name(const std::string& name);

/// @throws InternalError: convert has no source for a parameter of the model.
[[noreturn]] void throw_no_source(const std::string& parameter);

/// Reads a Hugging Face folder. @throws as convert()
[[nodiscard]] ForeignModel open_hugging_face(const std::string& folder);
/// Reads a llama2.c model file. @throws as convert()
[[nodiscard]] ForeignModel open_llama2c(const std::string& path);
/// Reads an xlstm-jax parameter file. @throws as convert()
[[nodiscard]] ForeignModel open_xlstm_jax(const std::string& path);

}  // namespace gridmill::convert_detail
