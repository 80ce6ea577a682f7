#pragma once

#include <span>
#include <string_view>

#include "cli/options.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill::cli {

/// A sub-command. `run` returns an exit code or throws an Error that is the same on every rank.
struct Command {
  std::string_view name;
  std::string_view summary;
  enum class Kind {
    ranks,   ///< runs on every rank
    writes,  ///< runs on rank 0, whose exit code the others take over
    reads,   ///< the same; also runs in a shell of a Slurm step, where there is no other rank
  };
  Kind kind = Kind::writes;
  ExitCode (*run)(const Arguments& arguments, const MpiSession* session) = nullptr;
};

// One file each: src/cli/<name>_command.cpp. `session` is null for a serial command without
// launcher.
ExitCode run_generate(const Arguments& arguments, const MpiSession* session);
ExitCode run_convert(const Arguments& arguments, const MpiSession* session);
ExitCode run_export(const Arguments& arguments, const MpiSession* session);
ExitCode run_inspect(const Arguments& arguments, const MpiSession* session);
ExitCode run_merge(const Arguments& arguments, const MpiSession* session);
ExitCode run_plan(const Arguments& arguments, const MpiSession* session);
ExitCode run_report(const Arguments& arguments, const MpiSession* session);
ExitCode run_status(const Arguments& arguments, const MpiSession* session);
ExitCode run_verify(const Arguments& arguments, const MpiSession* session);
ExitCode run_score(const Arguments& arguments, const MpiSession* session);
ExitCode run_bench(const Arguments& arguments, const MpiSession* session);
ExitCode run_render(const Arguments& arguments, const MpiSession* session);
ExitCode run_tokenize(const Arguments& arguments, const MpiSession* session);
ExitCode run_detokenize(const Arguments& arguments, const MpiSession* session);

[[nodiscard]] std::span<const Command> commands();

}  // namespace gridmill::cli
