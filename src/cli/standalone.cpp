// The program of a build without MPI and HDF5 (GRIDMILL_MPI=OFF): it measures, and says what it
// lacks.
#include <algorithm>
#include <array>
#include <cstdio>
#include <string>
#include <string_view>

#include "cli/bench_options.hpp"
#include "cli/version.hpp"
#include "gridmill/base/error_in_flight.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/cli/cli.hpp"

namespace gridmill::cli {

namespace {

constexpr std::array<std::string_view, 10> kLeftOut = {"generate", "plan",      "convert", "export",
                                                       "inspect",  "status",    "verify",  "score",
                                                       "tokenize", "detokenize"};

void print_usage() {
  std::fputs(
      "Example: gridmill bench --shape xlstm-7b --batch 1,8 --backend cuda\n\n"
      "gridmill COMMAND [options]; gridmill COMMAND --help lists a command's options\n\n"
      "  bench       speed of prefill and decode on random weights\n\n"
      "This gridmill was built with GRIDMILL_MPI=OFF, without MPI and HDF5: it has no other "
      "command.\n\n"
      "  --help      print this\n  --version   versions of gridmill and what it is built on\n",
      stdout);
}

void run_bench(const Arguments& arguments) {
  BenchConfig config;
  if (!parse(bench_syntax(config), arguments)) return;
  check_bench_options(config);
  if (!config.model.empty()) {
    throw UsageError(
        "--model needs HDF5, and this gridmill was built without it (GRIDMILL_MPI=OFF); give "
        "--shape alone");
  }
  const Json model = model_of_shape(config.shape, {});
  const auto backend = make_bench_backend(config);
  bench_in_memory(config, model, *backend);
}

void dispatch(const Arguments& arguments) {
  if (arguments.empty()) {
    throw UsageError("no command given; gridmill --help lists the commands");
  }
  const std::string& name = arguments.front();
  if (name == "--help") return print_usage();
  if (name == "--version") {
    std::fputs(version_text({}).c_str(), stdout);
    return;
  }
  if (name == "bench") return run_bench({arguments.begin() + 1, arguments.end()});
  if (std::find(kLeftOut.begin(), kLeftOut.end(), name) != kLeftOut.end()) {
    throw ResourceError(fmt::format(
        "{} is unsupported: this gridmill was built with GRIDMILL_MPI=OFF, without MPI and HDF5",
        name));
  }
  throw UsageError(fmt::format("unknown command '{}'; gridmill --help lists the commands", name));
}

}  // namespace

int run(int argc, char** argv) {
  try {
    dispatch(Arguments(argv + 1, argv + argc));
    if (std::fflush(stdout) != 0) throw IoError("writing to stdout failed");
    return static_cast<int>(ExitCode::ok);
  } catch (...) {
    const Error error = error_in_flight();
    std::string line = error.what();
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::fputs(fmt::format("gridmill: error: {}\n", printable(line)).c_str(), stderr);
    return static_cast<int>(error.code());
  }
}

}  // namespace gridmill::cli
