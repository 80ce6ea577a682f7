#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill {

/// Contents of a checkpoint file besides the numbers (docs/formats/checkpoint.md).
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct CheckpointDescription {
  struct Parameter {
    ParameterSpec spec;
    DType dtype = DType::fp32;  ///< as stored: fp32 or bf16
    /// A matrix in codes: then `dtype` means nothing.
    WeightFormat format = {};
    std::int64_t block = 0;  ///< with codes: inputs after which groups restart
  };
  Json model;  ///< gridmill's model configuration (docs/models.md)
  std::vector<Parameter> parameters;
  std::map<std::string, std::string>
      files;  ///< verbatim: config.json, generation_config.json, chat_template.jinja, ...
  std::string tokenizer_kind;  ///< tokenizer.json, tokenizer.model, llama2.c; empty = none
  std::string tokenizer;       ///< verbatim bytes
};

/// Writes a checkpoint in a stream: memory stays that of the caller's pieces. The file appears
/// under its name only when finish() has made it durable; a killed writer leaves none.
class CheckpointWriter {
 public:
  /// @throws OutputError if the file cannot be created.
  CheckpointWriter(const std::string& path, CheckpointDescription description);
  ~CheckpointWriter();
  CheckpointWriter(CheckpointWriter&&) noexcept;

  /// Next bytes of parameter `name`, in its stored dtype, row-major. Parameters may come in any
  /// order and interleaved.
  /// @throws FormatError for an unknown name or too many bytes.
  void append(const std::string& name, std::span<const std::byte> bytes);
  /// Next scales, in fp16, of a parameter in codes: [outputs][groups], row-major. The codes
  /// themselves come through append(): int8, or two codes of 4 bits a byte (pack_int4_row).
  void append_scales(const std::string& name, std::span<const std::byte> bytes);
  /// Hashes, syncs and renames. @throws FormatError naming parameters that are not complete.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gridmill
