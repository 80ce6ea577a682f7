#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "convert/foreign_tensor_detail.hpp"

// Shared code of the readers of quantised weights.
namespace gridmill::convert_detail {

/// A matrix (out, in) that a file holds as codes and scales. Its values are made in fp32 while they
/// are read, and stored as bf16 unless something else is asked for.
class DequantisedMatrix : public ForeignTensor {
 public:
  [[nodiscard]] bool floating() const final { return true; }
  [[nodiscard]] DType stored_as() const final { return DType::bf16; }
  void read(std::int64_t first, std::span<float> out) const final;

 protected:
  DequantisedMatrix(std::string name, std::string file, std::int64_t rows, std::int64_t columns,
                    std::string type);
  [[nodiscard]] std::int64_t rows() const { return shape()[0]; }
  [[nodiscard]] std::int64_t columns() const { return shape()[1]; }
  /// Whole rows from `first` on, as many as `out` holds.
  virtual void read_rows(std::int64_t first, std::span<float> out) const = 0;
};

/// A tensor that belongs to a quantised weight.
/// @param types  accepted element types, separated by blanks; "float" stands for F32, F16 and BF16.
/// @throws FormatError naming the tensor if it is missing, of another shape or type.
const ForeignTensor& part_of(ForeignTensors& tensors, const std::string& name,
                             const std::string& types, const Extents& shape);
/// The same with any shape of `axes` axes whose extents are at least 1.
const ForeignTensor& part_of(ForeignTensors& tensors, const std::string& name,
                             const std::string& types, std::size_t axes);

/// Elements [first, first + out.size()) of scales.
/// @throws FormatError naming the tensor if one is NaN or infinite.
void read_scales(const ForeignTensor& scales, std::int64_t first, std::span<float> out);
/// Bytes [first, first + out.size()) of a tensor as its file has them.
void read_stored(const ForeignTensor& tensor, std::uint64_t first, std::span<std::byte> out);
/// Elements of a tensor of type I32, as bits.
void read_words(const ForeignTensor& tensor, std::int64_t first, std::span<std::uint32_t> out);

/// @throws FormatError "<file>: tensor <name> <problem>"
[[noreturn]] void fail_tensor(const ForeignTensor& tensor, const std::string& problem);

}  // namespace gridmill::convert_detail
