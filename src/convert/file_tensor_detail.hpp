#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "convert/foreign_tensor_detail.hpp"
#include "gridmill/base/file.hpp"

namespace gridmill::convert_detail {

/// How the numbers of a file are written down; all little-endian.
enum class NumberFormat : std::uint8_t { fp32, fp16, bf16, fp64, u8, integer };

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
    return format_ != NumberFormat::integer && format_ != NumberFormat::u8;
  }
  [[nodiscard]] DType stored_as() const override {
    return format_ == NumberFormat::bf16 ? DType::bf16 : DType::fp32;
  }
  void read(std::int64_t first, std::span<float> out) const override;

 private:
  NumberFormat format_;
  FileRange range_;
};

}  // namespace gridmill::convert_detail
