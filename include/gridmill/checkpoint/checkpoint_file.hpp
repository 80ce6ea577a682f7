#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill {

/// A parameter of an open checkpoint.
struct StoredParameter {
  ParameterSpec spec;
  DType dtype = DType::fp32;
  std::uint64_t offset = 0;  ///< of its first byte in the file; contiguous, row-major
  std::string hash;          ///< of codes and of scales, where it has both
  /// A matrix in codes: `dtype` is fp32 then, the type of code * scale.
  WeightFormat format = {};
  std::int64_t block = 0;  ///< with codes: inputs after which groups restart
  std::uint64_t scales_offset = 0;

  /// "fp32", "bf16", or codes and their group: "int8/64".
  [[nodiscard]] std::string type_name() const;
  [[nodiscard]] std::uint64_t size_bytes() const;  ///< of codes and scales together
  /// Scales of an output of a matrix in codes.
  [[nodiscard]] std::int64_t groups() const {
    return groups_in(spec.shape.back(), block, format.group);
  }
};

/// A checkpoint opened for reading. Local: every rank may open it. Const members may be called from
/// several threads.
class CheckpointFile {
 public:
  /// @throws MissingInputError, or FormatError if it is no gridmill checkpoint, or is cut short.
  static CheckpointFile open(const std::string& path);
  /// To be called before open() by one process of those that open a file that anybody may have
  /// made: looks at it in a child process (h5::examine).
  /// @throws FormatError if HDF5 cannot digest it; MissingInputError, SystemError.
  static void examine(const std::string& path);
  ~CheckpointFile();
  CheckpointFile(CheckpointFile&&) noexcept;
  CheckpointFile& operator=(CheckpointFile&&) noexcept;

  [[nodiscard]] const std::string& path() const;
  /// gridmill's model configuration (docs/models.md).
  [[nodiscard]] const Json& model() const;
  /// Identity of configuration and parameters.
  [[nodiscard]] const std::string& hash() const;
  [[nodiscard]] const std::string& tokenizer_hash() const;  ///< empty without tokenizer
  [[nodiscard]] const std::string& tokenizer_kind() const;  ///< empty without tokenizer
  [[nodiscard]] const std::string& tokenizer() const;       ///< verbatim bytes
  /// Names and contents of the files that the converter kept.
  [[nodiscard]] const std::map<std::string, std::string>& files() const;
  /// In the order in which the writer announced them.
  [[nodiscard]] const std::vector<StoredParameter>& parameters() const;
  /// Bytes of all parameters.
  [[nodiscard]] std::uint64_t parameter_bytes() const;
  /// @throws FormatError naming the parameter if the checkpoint lacks it or `shape` differs from
  /// what is stored.
  [[nodiscard]] const StoredParameter& require(const ParameterSpec& spec) const;
  /// Elements [rows] x [columns] of a matrix (or [rows] of a vector, columns {0, 1}), as stored,
  /// packed row-major. Of more axes than two, the last is the columns and all before it are the
  /// rows. Whole rows are one read; column slabs a read a row, or rows with their gaps where the
  /// gaps are too small to be worth a call.
  /// @throws FormatError if the file has become shorter, IoError if reading fails.
  void read(const StoredParameter& parameter, IndexRange rows, IndexRange columns,
            std::span<std::byte> out) const;
  /// Codes [rows] x [columns] of a matrix in codes, one a byte, also those of 4 bits; a range of
  /// columns begins at a block.
  void read_codes(const StoredParameter& parameter, IndexRange rows, IndexRange columns,
                  std::span<std::byte> out) const;
  /// Its scales in fp16, [rows] x [groups].
  void read_scales(const StoredParameter& parameter, IndexRange rows, IndexRange groups,
                   std::span<std::byte> out) const;
  /// Consecutive elements of a parameter of any rank, in row-major order.
  void read_elements(const StoredParameter& parameter, IndexRange elements,
                     std::span<std::byte> out) const;
  /// Bytes of parameters that the read functions have delivered so far.
  [[nodiscard]] std::uint64_t bytes_read() const;

  /// Hash of everything but the numbers: configuration, list of parameters with their hashes,
  /// tokenizer, kept files.
  [[nodiscard]] std::string description_hash() const;
  /// Reads parameters and compares their hashes; not counted by bytes_read(). Every parameter, or
  /// of all that are sorted by size each `parts`-th from `part` on.
  /// @return names of parameters whose bytes differ from what was written.
  [[nodiscard]] std::vector<std::string> damaged_parameters(std::size_t part = 0,
                                                            std::size_t parts = 1) const;
  /// Contents of the file, for people and scripts: format, sizes, model configuration, tokenizer,
  /// files, and of each parameter name, shape, dtype and hash.
  [[nodiscard]] Json summary() const;

 private:
  struct Slab;
  void read_slab(const StoredParameter& parameter, const Slab& slab,
                 std::span<std::byte> out) const;
  struct Impl;
  explicit CheckpointFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gridmill
