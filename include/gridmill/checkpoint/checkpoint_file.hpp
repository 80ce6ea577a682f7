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

namespace gridmill {

/// A parameter of an open checkpoint.
struct StoredParameter {
  ParameterSpec spec;
  DType dtype = DType::fp32;
  std::uint64_t offset = 0;  ///< of its first byte in the file; contiguous, row-major
  std::string hash;
};

/// A checkpoint opened for reading. Local: every rank may open it. Const members may be called from
/// several threads.
class CheckpointFile {
 public:
  /// @throws MissingInputError, or FormatError if it is no gridmill checkpoint, or is cut short.
  static CheckpointFile open(const std::string& path);
  ~CheckpointFile();
  CheckpointFile(CheckpointFile&&) noexcept;
  CheckpointFile& operator=(CheckpointFile&&) noexcept;

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] const Json& model() const;
  [[nodiscard]] const std::string& hash() const;            ///< of configuration and parameters
  [[nodiscard]] const std::string& tokenizer_hash() const;  ///< empty without tokenizer
  [[nodiscard]] const std::string& tokenizer_kind() const;
  [[nodiscard]] const std::string& tokenizer() const;
  [[nodiscard]] const std::map<std::string, std::string>& files() const;
  [[nodiscard]] const std::vector<StoredParameter>& parameters() const;
  /// @throws FormatError naming the parameter if the checkpoint lacks it or `shape` differs from
  /// what is stored.
  [[nodiscard]] const StoredParameter& require(const ParameterSpec& spec) const;
  /// Elements [rows] x [columns] of a matrix (or [rows] of a vector, columns {0, 1}), as stored,
  /// packed row-major.
  void read(const StoredParameter& parameter, IndexRange rows, IndexRange columns,
            std::span<std::byte> out) const;
  /// Bytes that read() has taken from parameters so far.
  [[nodiscard]] std::uint64_t bytes_read() const;

 private:
  struct Impl;
  explicit CheckpointFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gridmill
