#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "convert/config_fields_detail.hpp"
#include "convert/families/names.hpp"
#include "convert/folder_tokenizer.hpp"
#include "convert/foreign_model_detail.hpp"
#include "convert/gguf/gguf_file.hpp"
#include "gridmill/base/json.hpp"

// GGUF files, as llama.cpp reads them: one file with configuration, weights and tokenizer.
namespace gridmill::convert_detail {

/// An architecture of GGUF that is read.
struct GgufArchitecture {
  std::string_view name;        ///< general.architecture
  std::string_view model_type;  ///< the family that reads its configuration
  /// Rotary pairs lie side by side in the file's rows of q and k: llama.cpp's rotary type "norm".
  /// Its converter reorders them where the source has them half-split, so that this also holds for
  /// Llama.
  bool interleaved = false;
  const char* norm_eps_field = "rms_norm_eps";
};

/// @throws FormatError with the word `unsupported` for any other.
[[nodiscard]] const GgufArchitecture& gguf_architecture(const GgufFile& file);

/// The configuration in the fields of a Hugging Face config.json, for the family's reader.
/// @param tensors  which biases there are, whether the head is tied, rotary factors.
/// @throws FormatError naming the key; `unsupported` for keys of the architecture that are not
///         known.
[[nodiscard]] Json gguf_config(const GgufFile& file, const GgufArchitecture& architecture,
                               const ForeignTensors& tensors);

/// Where a parameter lies. Names are the same in all architectures.
[[nodiscard]] ParameterTake take_from_gguf(const WantedParameter& wanted,
                                           const GgufArchitecture& architecture);

/// A GGUF file, understood.
struct GgufModel {
  ForeignModel model;
  /// Reads the tokenizer that the file has inside (kind empty: none).
  /// @throws FormatError with the word `unsupported` for a kind that is not read.
  std::function<FoundTokenizer()> tokenizer;
};
/// @throws as convert()
[[nodiscard]] GgufModel open_gguf(const std::string& path);

/// The tokenizer inside. @throws FormatError with the word `unsupported` for a kind that is not
/// read
[[nodiscard]] FoundTokenizer gguf_tokenizer(const GgufFile& file);
/// Texts of the special tokens, as tokenizer_config.json has them: for chat templates.
[[nodiscard]] Json gguf_special_tokens(const GgufFile& file);

}  // namespace gridmill::convert_detail
