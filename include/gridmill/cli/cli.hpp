#pragma once

namespace gridmill::cli {

/// The whole program: parses `argv`, runs the sub-command, reports an error as one line on stderr.
/// @return the exit code (docs/cli.md).
[[nodiscard]] int run(int argc, char** argv);

}  // namespace gridmill::cli
