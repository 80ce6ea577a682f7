#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "gridmill/base/temporary_file.hpp"
#include "gridmill/results/job_identity.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/row.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill {

/// A result file opened for reading (docs/formats/results.md), through HDF5: one process at a time
/// of a job does this and hands layout() to the others. Safe while ranks write.
class ResultFile {
 public:
  /// That of new files. Older ones (ResultShape::version) are read and go on as they are.
  static constexpr std::int64_t kFormatVersion = 2;

  /// Creates an empty result file: a TemporaryFile first, checked, synced, then renamed, so that a
  /// kill leaves none or a whole one; where `path` leads, if it is a link. The bytes depend on the
  /// arguments alone. The file is sparse: room is reserved for metadata and records only.
  /// @param version  of the program, stored as gridmill_version.
  /// @throws OutputError if it cannot be created or the file system has no room; InternalError if
  /// `identity` lacks samples_per_prompt or it differs from the shape's.
  static void create(const std::string& path, const JobIdentity& identity, const ResultShape& shape,
                     const std::string& version);
  /// The same without the last step: the file gets its name when the caller publishes it.
  [[nodiscard]] static TemporaryFile prepare(const std::string& path, const JobIdentity& identity,
                                             const ResultShape& shape, const std::string& version);

  /// Before a run goes on with an existing file, by the process that holds its lock: puts damaged
  /// metadata back if the file was this job's, with these sizes, made by this version or the one
  /// that it names; leaves any other file alone, for open() to judge. Warns if it did something.
  /// @return whether it did. @throws MissingInputError, OutputError, IoError
  static bool restore(const std::string& path, const JobIdentity& identity,
                      const ResultShape& shape, const std::string& version);

  /// Where a file to be opened comes from.
  enum class Origin : std::uint8_t {
    own,       ///< this user's jobs wrote it: its checksum shows changes
    anywhere,  ///< anybody may have made all of it, also the checksum
  };
  /// Looks at the file in a child process first (h5::examine) if it comes from anywhere, or its
  /// metadata are not as gridmill wrote them.
  /// Also a file that another program has rewritten, as long as every dataset is in one piece.
  /// @throws MissingInputError; FormatError if the file is not HDF5, cut short, no result file of
  /// gridmill, or of another format version.
  [[nodiscard]] static ResultFile open(const std::string& path, Origin origin = Origin::own);

  [[nodiscard]] const std::string& path() const { return file_->path(); }
  [[nodiscard]] const ResultLayout& layout() const { return layout_; }
  [[nodiscard]] const JobIdentity& job() const { return job_; }
  /// gridmill_version of the creator.
  [[nodiscard]] const std::string& creator_version() const { return creator_version_; }
  [[nodiscard]] const RowFile& rows() const { return *file_; }

  /// Before rows are added. @throws OutputError that says which options differ, unless the file
  /// belongs to this job; FormatError if another program has moved its datasets.
  void require_same_job(const JobIdentity& identity, const ResultShape& shape) const;
  /// @throws FormatError for a damaged row.
  [[nodiscard]] StoredRow read_row(RowId row) const {
    return gridmill::read_row(*file_, layout_, row);
  }

 private:
  // NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json
  ResultFile() = default;
  static ResultFile open_unguarded(const std::string& path);

  std::unique_ptr<RowFile> file_;
  ResultLayout layout_;
  JobIdentity job_;
  std::string creator_version_;
};

}  // namespace gridmill
