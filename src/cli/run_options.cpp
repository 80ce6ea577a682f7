#include "cli/run_options.hpp"

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::cli {

po::options_description run_options(RunOptions& run) {
  po::options_description options("Where and how the model runs");
  auto add = options.add_options();
  add("model", po::value(&run.model)->required()->value_name("FILE.h5"), "gridmill checkpoint");
  add("dp", po::value(&run.grid.dp)->default_value(run.grid.dp)->value_name("N"),
      "data-parallel size; 0 = whatever remains");
  add("fsdp", po::value(&run.grid.fsdp)->default_value(run.grid.fsdp)->value_name("N"),
      "ranks that share one copy of the parameters");
  add("tp", po::value(&run.grid.tp)->default_value(run.grid.tp)->value_name("N"),
      "tensor-parallel size: 1, 2, 4 or 8");
  add("gather-params-once", switch_value(&run.gather_params_once),
      "reconstruct the parameters once (one copy a node) instead of layer by layer");
  add("fsdp-min-weight-size",
      po::value(&run.fsdp_min_weight_size)
          ->default_value(run.fsdp_min_weight_size)
          ->value_name("N"),
      "parameters with at most so many elements are not split");
  add("param-dtype",
      po::value(&run.param_dtype)->default_value(run.param_dtype)->value_name("TYPE"),
      "checkpoint, bf16, fp32: cast every parameter once");
  add("compute-dtype",
      po::value(&run.compute_dtype)->default_value(run.compute_dtype)->value_name("TYPE"),
      "auto, fp32, bf16, int8: rounding at the input of matrix products");
  add("backend", po::value(&run.backend)->default_value(run.backend)->value_name("NAME"),
      "auto, reference, cpu, cuda");
  add("kernel-target",
      po::value(&run.kernel_target)->default_value(run.kernel_target)->value_name("NAME"),
      "auto, avx512bf16, avx512, avx2: never changes bits");
  add("share-gpu", switch_value(&run.share_gpu), "several ranks may use one device");
  add("slots",
      po::value<std::string>()->default_value("auto")->value_name("N")->notifier(
          [&run](const std::string& text) {
            run.slots = text == "auto" ? 0 : positive_integer("--slots", text);
          }),
      "sequences in flight per replica");
  add("threads",
      po::value<std::string>()->default_value("auto")->value_name("N")->notifier(
          [&run](const std::string& text) {
            run.threads = text == "auto" ? 0 : positive_integer("--threads", text);
          }),
      "threads per rank");
  add("log-level", po::value(&run.log_level)->default_value(run.log_level)->value_name("LEVEL"),
      "error, warn, info, debug, trace");
  return options;
}

void check_run_options(const RunOptions& run) {
  require_one_of("--param-dtype", run.param_dtype, {"checkpoint", "bf16", "fp32"});
  require_one_of("--compute-dtype", run.compute_dtype, {"auto", "bf16", "fp32", "int8"});
  require_one_of("--backend", run.backend, {"auto", "reference", "cpu", "cuda"});
  require_one_of("--kernel-target", run.kernel_target, {"auto", "avx512bf16", "avx512", "avx2"});
  static_cast<void>(log::level_from_name(run.log_level));
  if (run.fsdp_min_weight_size < 0) {
    throw UsageError(
        fmt::format("--fsdp-min-weight-size is {}, expected 0 or more", run.fsdp_min_weight_size));
  }
}

}  // namespace gridmill::cli
