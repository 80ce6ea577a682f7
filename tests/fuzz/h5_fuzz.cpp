// LIBS: convert prompts records results checkpoint h5
// Any bytes as an HDF5 file that somebody hands over: as prompts, a checkpoint, a result,
// parameters of xlstm-jax. Each is examined first, as readers do it, and then read in this process,
// which must survive and take no memory out of proportion. Readers examine a file themselves, too;
// one that fails that need not fail it four times more.
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "convert/xlstm_jax_detail.hpp"
#include "fuzz/h5_mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/h5/examination.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/records/result_prompts.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"

namespace {

using namespace gridmill;  // NOLINT(google-build-using-namespace): a program of its own

/// Of this process: its input lies there.
std::string path_of_input() {
  static const std::string path = "/dev/shm/gridmill-h5-fuzz-" + std::to_string(::getpid()) + ".h5";
  return path;
}

/// A file may be refused, with a kind of error whose exit code says so.
template <typename Read>
void read(Read reader) {
  try {
    reader();
  } catch (const Error& error) {
    if (error.code() != ExitCode::bad_input && error.code() != ExitCode::missing_input &&
        error.code() != ExitCode::usage && error.code() != ExitCode::missing_resource) {
      std::fprintf(stderr, "exit code %d: %s\n", static_cast<int>(error.code()), error.what());
      std::abort();
    }
  }
}

void as_prompts(const std::string& path) {
  const PromptIndex index = PromptIndex::build(path);
  const auto prompts = open_prompt_source(path, index, "prompt", "");
  const std::uint64_t count = std::min<std::uint64_t>(prompts->count(), 8);
  for (PromptId prompt = 0; prompt < count; ++prompt) static_cast<void>(prompts->read(prompt));
}

void as_checkpoint(const std::string& path) {
  CheckpointFile::examine(path);
  const CheckpointFile file = CheckpointFile::open(path);
  static_cast<void>(file.damaged_parameters());
}

void as_result(const std::string& path) {
  const ResultFile file = ResultFile::open(path, ResultFile::Origin::anywhere);
  const std::uint64_t rows = std::min<std::uint64_t>(file.layout().shape.rows, 64);
  static_cast<void>(scan_rows(file.rows(), file.layout(), 0, rows));
}

void as_parameters(const std::string& path) {
  const auto foreign = convert_detail::open_xlstm_jax(path);
  static_cast<void>(foreign);
}

void read_in_every_way(const std::string& path) {
  read([&] { as_prompts(path); });
  read([&] { as_checkpoint(path); });
  read([&] { as_result(path); });
  read([&] { as_parameters(path); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  log::configure(log::Level::error, 0);
  const std::string path = path_of_input();
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(data, 1, size, file) != size || std::fclose(file) != 0) {
    std::abort();
  }
  bool examined = false;
  read([&] {
    h5::examine(path);
    examined = true;
  });
  if (examined) read_in_every_way(path);
  ::unlink(path.c_str());
  return 0;
}

/// Called by the drivers in place of mutations that know nothing of the format.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  fuzz::Bytes file(data, data + size);
  const fuzz::Dice dice = fuzz::dice_of(seed);
  for (std::size_t changes = 1 + dice(3); changes > 0; --changes) {
    if (dice(4) == 0) {
      fuzz::mutate_json_in_h5(file, dice);
    } else {
      fuzz::mutate_h5(file, dice);
    }
  }
  const std::size_t kept = std::min(file.size(), max_size);
  std::copy_n(file.begin(), kept, data);
  return kept;
}
