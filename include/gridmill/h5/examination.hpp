#pragma once

#include <string>
#include <string_view>

namespace gridmill::h5 {

/// A child process examines an HDF5 file that gridmill did not write before a reader opens it. The
/// library trusts file contents: one changed byte makes version 1.10 crash, loop without end or
/// take gigabytes. The child makes every access that a reader makes, with limits of time
/// and memory.
///
/// @throws FormatError if the child crashes or needs too much; MissingInputError; SystemError if
/// no child can be started. An error that the child itself reports is none here: the reader
/// meets it again, and has the better message.
void examine(const std::string& path);

/// First argument of the hidden command `gridmill --examine-hdf5 FILE`, which is the child.
constexpr std::string_view kExamineCommand = "--examine-hdf5";
/// The body of that command. @return its exit code.
[[nodiscard]] int run_examination(const std::string& path);
/// Says, once and before the first examine(), that this process's program has that command. A
/// program without it (tests, an embedding program) forks instead, which some MPI libraries do not
/// like.
void set_program_examines();

}  // namespace gridmill::h5
