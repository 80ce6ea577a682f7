#include "gridmill/job/bench_job.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/output/output_target.hpp"
#include "job/first_touch_detail.hpp"
#include "job/random_checkpoint_detail.hpp"

namespace gridmill {

namespace {

using namespace job_detail;

/// The checkpoint to load: the caller's, or random weights in a file that goes with this object.
class BenchCheckpoint {
 public:
  BenchCheckpoint(const BenchConfig& config, const Json& model) : path_(config.model) {
    if (!path_.empty() && std::filesystem::exists(path_)) return;
    if (path_.empty()) {
      std::string name =
          (std::filesystem::temp_directory_path() / "gridmill-bench-XXXXXX").string();
      if (mkdtemp(name.data()) == nullptr) {
        throw OutputError(fmt::format("cannot create {}; set TMPDIR", name));
      }
      folder_ = name;
      path_ = (folder_ / "random.h5").string();
    }
    log::info("writing random weights to {}", path_);
    if (folder_.empty()) {
      path_ = OutputTarget::decide(path_, {.name = "--model",
                                           .format = "gridmill-checkpoint",
                                           .inputs = {{"--shape", config.shape}},
                                           .side_files = {}})
                  .path();
    }
    write_random_checkpoint(path_, model, config.dtype == "fp32" ? DType::fp32 : DType::bf16,
                            format_of(config));
  }
  BenchCheckpoint(const BenchCheckpoint&) = delete;
  BenchCheckpoint& operator=(const BenchCheckpoint&) = delete;
  ~BenchCheckpoint() { remove(); }

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Removes a temporary file now.
  void remove() {
    if (folder_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
    folder_.clear();
  }

 private:
  std::string path_;
  std::filesystem::path folder_;  ///< temporary; empty = nothing to remove
};

}  // namespace

void run_bench_job(const BenchConfig& config, const Json& model) {
  BenchCheckpoint checkpoint(config, model);
  RunOptions options;
  options.model = checkpoint.path();
  const bool coded = format_of(config).coded();
  options.param_dtype = coded ? "checkpoint" : config.dtype;
  options.compute_dtype = coded ? "int8" : config.dtype;
  options.backend = config.backend;
  options.threads = config.threads;
  RunContext context(options);
  check_rows_fit(config, context.model().info());

  OrderedJson loading = {{"weights", config.model.empty() ? "random, in a file" : "a checkpoint"}};
  // In the host's memory everything twice: a virtual machine may have to get it from its own host
  // first, once.
  const int times = context.backend().host_memory() ? 2 : 1;
  for (int i = 0; context.backend().host_memory() && i < times; ++i) {
    loading["first_touch_copy_s"] =
        first_touch_copy_seconds(checkpoint.path(), context.backend(), context.threads());
  }
  for (int i = 0; i < times; ++i) {
    const auto start = SteadyClock::now();
    context.load();
    loading["load_s"] = seconds_since(start);
  }
  checkpoint.remove();

  const ParameterStatistics parameters = context.parameters().statistics();
  bench_batches(config, {.model = context.model(),
                         .context = context.execution(),
                         .parameters = context.parameters(),
                         .threads = context.threads(),
                         .weight_bytes = static_cast<double>(parameters.private_bytes +
                                                             parameters.shared_bytes),
                         .loading = loading});
}

}  // namespace gridmill
