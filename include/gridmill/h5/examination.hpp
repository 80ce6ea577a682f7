#pragma once

#include <string>
#include <string_view>

namespace gridmill::h5 {

/// Whoever reads an HDF5 file that gridmill did not write looks at it in a child process first. The
/// library trusts what a file says: one changed byte makes version 1.10 crash, run in circles or
/// take gigabytes. The child does everything with the file that a reader does, with limits of time
/// and memory.
///
/// @throws FormatError if the child crashes or needs too much; MissingInputError; SystemError if
/// there is no child to be had. An error that the child itself can tell is none here: the reader
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
