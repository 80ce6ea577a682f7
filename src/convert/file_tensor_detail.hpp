#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "convert/foreign_tensor_detail.hpp"
#include "gridmill/base/file.hpp"

namespace gridmill::convert_detail {

/// How the numbers of a file are written down; all little-endian.
/// f8_e4m3: sign, 4 bits of exponent (bias 7), 3 of mantissa, no infinity, NaN with all of them
/// set. f8_e5m2: the upper byte of fp16. Source: "FP8 formats for deep learning" (Micikevicius et
/// al., 2022), in the form that safetensors calls F8_E4M3 and F8_E5M2.
enum class NumberFormat : std::uint8_t {
  fp32,
  fp16,
  bf16,
  fp64,
  i8,
  u8,
  f8_e4m3,
  f8_e5m2,
  integer
};

/// Exact.
[[nodiscard]] float f8_e4m3_to_fp32(std::uint8_t value);

/// Where elements lie one after the other in a file. Files are shared by their tensors.
struct FileRange {
  std::shared_ptr<const FileDescriptor> file;
  std::uint64_t offset = 0;  ///< of the first element
};

/// A tensor that lies in a file as it is.
class FileTensor final : public ForeignTensor {
 public:
  FileTensor(std::string name, std::string path, Extents shape, std::string type,
             NumberFormat format, FileRange range);

  [[nodiscard]] bool floating() const override {
    return format_ == NumberFormat::fp32 || format_ == NumberFormat::fp16 ||
           format_ == NumberFormat::bf16 || format_ == NumberFormat::fp64;
  }
  [[nodiscard]] DType stored_as() const override {
    return format_ == NumberFormat::bf16 ? DType::bf16 : DType::fp32;
  }
  void read(std::int64_t first, std::span<float> out) const override;
  /// Bytes [first, first + out.size()) as the file has them: codes of quantised weights.
  /// @throws as read()
  void read_bytes(std::uint64_t first, std::span<std::byte> out) const;

 private:
  NumberFormat format_;
  FileRange range_;
};

}  // namespace gridmill::convert_detail
