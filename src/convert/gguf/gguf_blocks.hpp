#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "convert/gguf/gguf_file.hpp"
#include "gridmill/base/dtype.hpp"

// Element types of GGUF: values in blocks that share scales. Source: ggml-common.h and the
// dequantisation of ggml and of its Python package gguf 0.19, whose values these are, bit for bit.
namespace gridmill::convert_detail {

/// An element type.
struct GgufFormat {
  std::uint32_t type = 0;
  std::string_view name;
  std::int64_t values = 1;  ///< of a block
  std::uint64_t bytes = 0;  ///< of a block
  /// Makes the values of one block. Scales may come out as NaN or infinite.
  void (*decode)(const std::uint8_t* block, float* values) = nullptr;
  DType stored_as = DType::bf16;
};

/// @param where  names the tensor in messages.
/// @throws FormatError with the word `unsupported` and the type's name.
[[nodiscard]] const GgufFormat& gguf_format(std::uint32_t type, const std::string& where);

/// A tensor of a GGUF file.
class GgufTensor final : public ForeignTensor {
 public:
  GgufTensor(const GgufFile& file, const GgufEntry& entry);
  [[nodiscard]] bool floating() const override { return true; }
  [[nodiscard]] DType stored_as() const override { return format_.stored_as; }
  /// @throws FormatError also for a value of a quantised type that is NaN or infinite.
  void read(std::int64_t first, std::span<float> out) const override;
  [[nodiscard]] bool quantised() const { return format_.values > 1; }

 private:
  const GgufFormat& format_;
  std::shared_ptr<const FileDescriptor> file_;
  std::uint64_t offset_;
};

}  // namespace gridmill::convert_detail
