#include "gridmill/cli/cli.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/manual.hpp"
#include "cli/version.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/grid/launcher.hpp"
#include "gridmill/h5/examination.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/job/signals.hpp"

namespace gridmill::cli {

namespace {

constexpr std::array<Command, 14> kCommands = {{
    {"generate", "prompts in, one shared result file out", Command::Kind::ranks, run_generate},
    {"plan", "memory, time and files of a job before it runs", Command::Kind::reads, run_plan},
    {"convert", "a foreign checkpoint into a gridmill checkpoint", Command::Kind::writes,
     run_convert},
    {"export", "a result file as jsonl or text", Command::Kind::reads, run_export},
    {"inspect", "what is in a checkpoint or result file", Command::Kind::reads, run_inspect},
    {"status", "how far a result file is", Command::Kind::reads, run_status},
    {"merge", "files of a job that was divided into parts, joined", Command::Kind::reads,
     run_merge},
    {"report", "a result file as an HTML page", Command::Kind::reads, run_report},
    {"verify", "generates rows again and compares every bit", Command::Kind::ranks, run_verify},
    {"score", "log-probabilities of given texts", Command::Kind::ranks, run_score},
    {"bench", "speed of prefill and decode on random weights", Command::Kind::ranks, run_bench},
    {"render", "records to prompts: text and ids", Command::Kind::reads, run_render},
    {"tokenize", "lines of text to token ids", Command::Kind::reads, run_tokenize},
    {"detokenize", "token ids to text", Command::Kind::reads, run_detokenize},
}};

void print_usage(HelpFormat format) {
  std::vector<CommandSummary> entries;
  entries.reserve(kCommands.size());
  for (const Command& command : kCommands) entries.push_back({command.name, command.summary});
  std::fputs(program_help(entries, format).c_str(), stdout);
}

/// One line for the whole job.
int report(const Error& error, int rank) {
  if (rank == 0) {
    std::string line = error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::fputs(fmt::format("gridmill: error: {}\n", printable(line)).c_str(), stderr);
  }
  return static_cast<int>(error.code());
}

const Command& find_command(const std::string& name) {
  const auto* found = std::find_if(kCommands.begin(), kCommands.end(),
                                   [&name](const Command& c) { return c.name == name; });
  if (found != kCommands.end()) return *found;
  throw UsageError(fmt::format("unknown command '{}'; gridmill --help lists the commands", name));
}

ExitCode dispatch(const Arguments& arguments, const MpiSession* session) {
  if (arguments.empty()) {
    throw UsageError("no command given; gridmill --help lists the commands");
  }
  const Command& command = find_command(arguments.front());
  const bool parallel = command.kind == Command::Kind::ranks;
  if (!parallel) signals::restore();
  const Arguments rest(arguments.begin() + 1, arguments.end());
  if (parallel || session == nullptr) return command.run(rest, session);
  // A serial command under a launcher: rank 0 does it, and everybody leaves as it did.
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  ExitCode code = ExitCode::ok;
  agree_on(world, [&] {
    if (world.rank() == 0) code = command.run(rest, session);
  });
  broadcast(world, 0, code);
  return code;
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

int run(int argc, char** argv) {
  if (argc == 3 && argv[1] == h5::kExamineCommand) return h5::run_examination(argv[2]);
  h5::set_program_examines();
  signals::install();
  const Arguments arguments(argv + 1, argv + argc);
  const std::optional<LauncherTasks> launcher = launcher_tasks();
  int rank = launcher ? launcher->task : 0;
  try {
    const bool launched = launcher && launcher->tasks > 1;
    const bool answer_only =
        !arguments.empty() &&
        ((arguments[0] == "--help" || arguments[0].starts_with("--help-as=")) ||
         arguments[0] == "--version");
    const Command::Kind kind =
        answer_only || arguments.empty() ? Command::Kind::writes : find_command(arguments[0]).kind;
    const bool alone = launched && kind == Command::Kind::reads && !is_task_itself(*launcher);
    if (alone) rank = 0;
    std::unique_ptr<MpiSession> session;
    if ((launched && !alone) || kind == Command::Kind::ranks) {
      session = std::make_unique<MpiSession>();
      rank = session->rank();
      log::configure(log::Level::info, rank);
    }
    int code = 0;
    try {
      if (answer_only) {
        if (rank == 0) {
          if (arguments[0] != "--version") {
            print_usage(asked_help(arguments));
          } else {
            const LibraryVersions libraries{.mpi = mpi_library_version(),
                                            .hdf5 = h5::library_version()};
            std::fputs(version_text(libraries).c_str(), stdout);
          }
        }
      } else {
        code = static_cast<int>(dispatch(arguments, session.get()));
      }
    } catch (const Error& error) {
      code = report(error, rank);
    } catch (...) {
      code = report(error_in_flight(), rank);
    }
    if (std::fflush(stdout) != 0 && code == 0) {
      code = report(IoError("writing to stdout failed"), rank);
    }
    // mpirun kills the others as soon as one rank leaves with a non-zero code.
    if (session != nullptr) Communicator::duplicate(MPI_COMM_WORLD).barrier();
    return code;
  } catch (...) {
    return report(error_in_flight(), rank);
  }
}

}  // namespace gridmill::cli
