#pragma once

#include <string>
#include <vector>

#include "gridmill/base/file.hpp"

namespace gridmill {

/// Something that a command reads and that its output must not be, or lie in.
struct CommandInput {
  std::string name;  ///< for messages: "--prompts"
  std::string path;  ///< file, or folder whose files are read; empty = not given
};

/// How a command writes its output.
enum class OutputUse {
  replaced,   ///< a new file takes its place when it is complete
  continued,  ///< rows are added to it at offsets
  appended,   ///< lines are added to its end
};

struct OutputRules {
  std::string name;  ///< for messages: "--output"
  OutputUse use = OutputUse::replaced;
  /// Root attribute `format` of the HDF5 files that this command writes; empty = it writes text.
  std::string format;
  std::vector<CommandInput> inputs;
  /// Endings of the files that gridmill keeps beside the output; none of them may be an input.
  std::vector<std::string> side_files;
};

/// Where a command writes, decided in one place for everything that writes.
class OutputTarget {
 public:
  /// Local; creates nothing.
  /// @throws UsageError if `path` is an input by any name (spelling, link, hard link), or no
  /// regular file where HDF5 is written; OutputError if it is a folder, cannot be reached, or holds
  /// data that this command would destroy: an HDF5 file that it did not write, or a result file
  /// with several names (hard links), which two runs could write at once.
  [[nodiscard]] static OutputTarget decide(const std::string& path, const OutputRules& rules);

  /// Where the bytes go: links are followed, also to a name that does not exist yet.
  [[nodiscard]] const std::string& path() const { return path_; }
  /// A device, FIFO, socket or open file (/dev/stdout): written as it comes, never replaced.
  [[nodiscard]] bool is_stream() const { return stream_; }
  /// Opens a stream for writing; waits for the reader of a FIFO. @throws OutputError
  [[nodiscard]] FileDescriptor open_stream() const;

 private:
  OutputTarget(std::string path, bool stream) : path_(std::move(path)), stream_(stream) {}
  std::string path_;
  bool stream_;
};

/// The result file `path` and what gridmill keeps beside it, as inputs.
[[nodiscard]] std::vector<CommandInput> result_file_inputs(const std::string& path);

}  // namespace gridmill
