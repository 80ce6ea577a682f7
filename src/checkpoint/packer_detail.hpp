#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/checkpoint/parameter_store.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill::checkpoint_detail {

/// Memory that a thread uses again for every piece of its work.
class PieceBuffers {
 public:
  /// Bytes of any content, until reuse().
  std::span<std::byte> take(std::size_t bytes) {
    if (taken_ == buffers_.size()) buffers_.emplace_back();
    std::vector<std::byte>& buffer = buffers_[taken_++];
    if (buffer.size() < bytes) buffer.resize(bytes);
    return std::span(buffer).first(bytes);
  }
  void reuse() { taken_ = 0; }

 private:
  std::vector<std::vector<std::byte>> buffers_;
  std::size_t taken_ = 0;
};

/// Reads rows of stored parameters, casts them, and packs them into host memory. Work is collected
/// first and then done by several threads.
class Packer {
 public:
  /// @throws FormatError if `file` lacks a parameter or has it in another shape.
  Packer(const CheckpointFile& file, const ModelParameters& parameters, const Backend& backend,
         ParameterDType cast);

  /// Panels [panels] of `matrix`, one after the other, to `target`. `matrix` must outlive run().
  void add(const MatrixSpec& matrix, IndexRange panels, std::byte* target);
  /// Elements [elements] of `vector` in fp32 to `target`. `vector` must outlive run().
  void add(const VectorSpec& vector, IndexRange elements, std::byte* target);
  /// Does what was added and forgets it. @throws IoError, FormatError
  void run(int threads);

 private:
  struct PanelWork {
    const MatrixSpec* matrix = nullptr;
    IndexRange panels;
    std::byte* target = nullptr;
  };
  struct VectorWork {
    const VectorSpec* vector = nullptr;
    IndexRange elements;
    std::byte* target = nullptr;
  };
  void pack(const PanelWork& work, PieceBuffers& buffers) const;
  void fill(const VectorWork& work, PieceBuffers& buffers) const;
  /// Packs panels of `matrix` out of rows of `row_bytes` bytes, of each part those from
  /// rows[part].first on at data[part].
  void pack_rows(const PanelWork& work, DType dtype, std::span<const IndexRange> rows,
                 std::span<const std::span<const std::byte>> data, std::size_t row_bytes) const;
  /// Rows of a part of a matrix in codes as Backend::pack_panel takes them.
  [[nodiscard]] std::span<const std::byte> read_coded(const MatrixSpec& matrix,
                                                      const MatrixPart& part, IndexRange rows,
                                                      PieceBuffers& buffers) const;
  /// Values of a matrix in codes, in fp32.
  [[nodiscard]] std::span<const std::byte> read_dequantized(const StoredParameter& parameter,
                                                            IndexRange rows, IndexRange columns,
                                                            PieceBuffers& buffers) const;
  [[nodiscard]] DType packed_dtype(const MatrixSpec& matrix) const;
  [[nodiscard]] DType cast_dtype(const StoredParameter& parameter) const;
  [[nodiscard]] std::span<const std::byte> read(const StoredParameter& parameter, IndexRange rows,
                                                IndexRange columns, DType dtype,
                                                PieceBuffers& buffers) const;
  [[nodiscard]] static std::span<const std::byte> cast(std::span<const std::byte> data, DType from,
                                                       DType to, PieceBuffers& buffers);

  const CheckpointFile& file_;
  const Backend& backend_;
  ParameterDType cast_;
  std::unordered_map<std::string, const StoredParameter*> stored_;
  std::vector<PanelWork> panels_;
  std::vector<VectorWork> vectors_;
};

}  // namespace gridmill::checkpoint_detail
