#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "gridmill/base/file.hpp"
#include "gridmill/base/ids.hpp"

namespace gridmill {

/// Shape of the file that `gridmill score` writes, and where its datasets lie. Trivially copyable:
/// one process lays the file out, all others get this by broadcast and write at offsets.
struct ScoreLayout {
  std::uint64_t rows = 0;             ///< N
  std::uint64_t columns = 0;          ///< T, tokens of the longest row
  std::uint64_t vocab = 0;            ///< V; 0 = without logits
  std::uint64_t logprobs_offset = 0;  ///< `token_logprobs` float32 [N, T]
  std::uint64_t sums_offset = 0;      ///< `sum_logprob` float64 [N]
  std::uint64_t lengths_offset = 0;   ///< `length` int32 [N]
  std::uint64_t logits_offset = 0;    ///< `logits` float32 [N, T, V]
};

/// Creates `path` (a TemporaryFile, to be published when every writer is through) with root
/// attribute format = "gridmill-scores" and empty datasets of the shape in `layout`.
/// @return `layout` with offsets. @throws OutputError
[[nodiscard]] ScoreLayout create_score_file(const std::string& path, const ScoreLayout& layout);

/// Writes rows of such a file. Local; different rows may be written by different processes.
class ScoreWriter {
 public:
  /// @throws OutputError if it cannot be opened.
  ScoreWriter(const std::string& path, const ScoreLayout& layout);
  /// @param logprobs  [length]. @param logits  [length, V], empty without logits. @throws IoError
  void put(RowId row, std::span<const float> logprobs, double sum, std::span<const float> logits);
  /// Waits until the rows are durable. @throws IoError
  void sync();

 private:
  std::string path_;
  ScoreLayout layout_;
  FileDescriptor file_;
};

}  // namespace gridmill
