#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill {

/// Options of `gridmill convert SRC DST`.
struct ConvertOptions {
  /// A Hugging Face folder (config.json and safetensors), a GGUF file, a llama2.c model file, or an
  /// xlstm-jax parameter file (HDF5).
  std::string source;
  /// Replaced, if it exists, only by the finished checkpoint.
  std::string destination;
  /// Tokenizer file; empty = what lies in a Hugging Face folder.
  std::string tokenizer = {};
  /// fp32 or bf16 for every parameter; none = as the source has them.
  std::optional<DType> dtype = std::nullopt;
  /// Matrices of attention, feed-forward, experts and mLSTM inputs and outputs become codes; all
  /// else stays: embedding, head, norms, biases, routers, the gates of recurrences.
  WeightFormat weights = {};
  int threads = 1;  ///< that round weights to codes
};

/// Summary of a conversion.
struct ConvertReport {
  std::string source_kind;            ///< "Hugging Face", "GGUF", "llama2.c", "xlstm-jax"
  Json model;                         ///< the model configuration written (docs/models.md)
  std::int64_t parameters = 0;        ///< numbers, not tensors
  std::uint64_t parameter_bytes = 0;  ///< as stored
  std::int64_t coded_parameters = 0;  ///< numbers stored in codes
  std::string tokenizer_kind;         ///< empty = none
};

/// Writes the checkpoint `destination` from a foreign one, in a stream: memory stays below 1 GiB.
/// bf16 stays bf16, quantised weights become bf16; fp16, fp32 and fp64 become fp32, unless `dtype`
/// says otherwise. A call that
/// throws, or a process that is killed, leaves `destination` as it was.
/// @throws MissingInputError if the source or a file that it names is missing; FormatError naming
///         file and tensor or field if the source does not say what it should, with the word
///         `unsupported` for what gridmill does not run; UsageError for options that contradict
///         each other; OutputError or IoError if `destination` cannot be written.
ConvertReport convert(const ConvertOptions& options);

/// gridmill's model configuration (docs/models.md) of a Hugging Face config.json, without weights.
/// @param where  names it in messages.
/// @throws FormatError naming the field; `unsupported` for what gridmill does not run.
[[nodiscard]] Json model_of_config(const Json& config, const std::string& where);

}  // namespace gridmill
