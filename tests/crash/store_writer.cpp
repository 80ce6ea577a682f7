// One run of a job that knows its rows beforehand: creates the result file or continues it, and
// ends with the exit code of gridmill. The victim of store_crash_test.

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/result_store.hpp"
#include "gridmill/results/run_lock.hpp"
#include "gridmill/results/run_log.hpp"
#include "unit/results/sample.hpp"

namespace gridmill {
namespace {

constexpr ResultShape kShape{.rows = 6, .samples_per_prompt = 2, .max_length = 20, .logprobs = 1};

void run(const std::string& path) {
  const RunLock lock = RunLock::acquire(path);
  if (!std::filesystem::exists(path)) test::create_sample(path, kShape);
  RunLog log(path);
  log.begin({{"start", "now"}});
  const ResultFile file = ResultFile::open(path);
  file.require_same_job(test::sample_identity(kShape.samples_per_prompt), kShape);
  const auto states = scan_rows(file.rows(), file.layout(), 0, kShape.rows);
  const RunGuard guard(path, lock.epoch());
  ResultStore store = ResultStore::open(path, file.layout(),
                                        {.commit_interval = std::chrono::hours{1},
                                         .on_durable = nullptr,
                                         .check_ownership = [&guard] { guard.check(); }});
  for (RowId row = 0; row < kShape.rows; ++row) {
    if (states[row] == RowState::done || states[row] == RowState::failed) continue;
    if (states[row] == RowState::damaged) store.discard(std::array{row});
    const test::SampleRow sample(kShape, row);
    if (row % 2 == 0 && sample.tokens.size() > 3) {
      store.put(sample.result(3));
      store.flush();
    }
    store.put(sample.result());
    if (row == 2) store.flush();
  }
  store.close();
  log.finish({{"start", "now"}, {"exit_code", 0}});
}

}  // namespace
}  // namespace gridmill

int main(int argc, char** argv) {
  if (argc != 2) return 64;
  try {
    gridmill::run(argv[1]);
    return 0;
  } catch (const gridmill::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 70;
  }
}
