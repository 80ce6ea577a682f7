#pragma once

#include <string>
#include <vector>

#include "convert/foreign_tensor_detail.hpp"

// Tensors that a checkpoint does not hold as such, made from those that it holds while they are
// read.
namespace gridmill::convert_detail {

/// Vectors one behind the other.
class StackedTensor final : public ForeignTensor {
 public:
  /// @param parts  of equal shape; they must outlive this.
  StackedTensor(std::string name, std::vector<const ForeignTensor*> parts);
  [[nodiscard]] bool floating() const override;
  [[nodiscard]] DType stored_as() const override;
  void read(std::int64_t first, std::span<float> out) const override;

 private:
  std::vector<const ForeignTensor*> parts_;
  std::int64_t part_elements_;
};

/// MXFP4 (Open Compute Project, "Microscaling formats", 2023) as values: groups of 32 numbers of
/// four bits (E2M1, the lower half of a byte first) with one power of two 2^(scale - 127) each.
/// Every value is exact in bf16.
class Mxfp4Tensor final : public ForeignTensor {
 public:
  /// @param blocks  bytes [..., groups, 16] or [..., groups * 16]. @param scales  bytes [...,
  /// groups]. Both must outlive this. The tensor is [..., groups * 32].
  /// @throws FormatError if they do not fit each other.
  Mxfp4Tensor(std::string name, const ForeignTensor& blocks, const ForeignTensor& scales);
  [[nodiscard]] bool floating() const override { return true; }
  [[nodiscard]] DType stored_as() const override { return DType::bf16; }
  /// @throws FormatError for a scale that is NaN (255).
  void read(std::int64_t first, std::span<float> out) const override;

 private:
  const ForeignTensor& blocks_;
  const ForeignTensor& scales_;
};

}  // namespace gridmill::convert_detail
