#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "gridmill/base/dtype.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

/// One matrix product of the vendor's library, with whatever algorithm it proposes: what benchmarks
/// compare with. Its order of sums is its own, so that no model uses it.
class LibraryProduct {
 public:
  struct Shape {
    DType dtype = DType::bf16;      ///< of x and w
    DType out_dtype = DType::fp32;  ///< sums are fp32 either way
    std::int64_t rows = 0;
    std::int64_t outputs = 0;
    std::int64_t inputs = 0;
  };
  /// Asks for proposals that need at most `workspace_bytes`, 16 of them at most.
  /// @throws SystemError without any.
  LibraryProduct(const Shape& shape, std::size_t workspace_bytes);
  LibraryProduct(const LibraryProduct&) = delete;
  LibraryProduct& operator=(const LibraryProduct&) = delete;
  ~LibraryProduct();

  [[nodiscard]] int proposals() const;
  /// Parts into which a proposal splits the inputs; 1 = none.
  [[nodiscard]] int splits(int proposal) const;
  /// out = x w^T; x [rows, inputs], w [outputs, inputs], out [rows, outputs], row-major without
  /// gaps. @throws SystemError
  void run(int proposal, StreamHandle stream, const std::byte* x, const std::byte* w,
           std::byte* out, std::byte* workspace) const;

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace gridmill::cuda
