#include "gridmill/job/run_context.hpp"

#include <algorithm>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/checkpoint/compute_type.hpp"
#include "gridmill/generate/slot_plan.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/machine.hpp"
#include "job/same_file.hpp"

namespace gridmill {

namespace {

/// Ranks may open copies, on disks of their own; copies may be stale or damaged. A rank reads only
/// its own part of a parameter, so copies are held to the hashes of the description, once a copy.
void agree_on_model(const Communicator& world, const CheckpointFile& checkpoint) {
  std::string hash = checkpoint.description_hash();
  broadcast(world, 0, hash);
  agree_on(world, [&] {
    if (checkpoint.description_hash() == hash) return;
    throw FormatError(fmt::format(
        "rank {} on host {}: {} is another model than rank 0's: the hash of its configuration, "
        "tokenizer and list of parameters is {}, expected {}",
        world.rank(), host_name(), checkpoint.path(), checkpoint.description_hash(), hash));
  });
  job_detail::require_same_file(
      world, "model", checkpoint.path(), [&](const job_detail::CopyShare& share) -> std::string {
        const std::vector<std::string> damaged = checkpoint.damaged_parameters(
            static_cast<std::size_t>(share.rank), static_cast<std::size_t>(share.ranks));
        return damaged.empty() ? "" : fmt::format("parameter {} is damaged", damaged.front());
      });
}

/// Lets exchanges reach the memory of a device; nothing for a backend on the host.
std::optional<HostStaging> staging_of(Backend& backend) {
  if (backend.host_memory()) return std::nullopt;
  return HostStaging{
      [&backend](Stream& stream, const std::byte* device, std::span<std::byte> host) {
        backend.download(stream, device, host);
      },
      [&backend](Stream& stream, std::span<const std::byte> host, std::byte* device) {
        backend.upload(stream, host, device);
      }};
}

}  // namespace

RunContext::RunContext(const RunOptions& options,
                       std::optional<std::chrono::milliseconds> time_limit)
    : options_(options),
      grid_(Grid::create(MPI_COMM_WORLD, options.grid)),
      watch_(grid_, time_limit) {
  log::configure(log::level_from_name(options.log_level), grid_.world().rank());
  const int fair_threads = threads_for_rank(grid_);  // collective, so whatever the options say
  threads_ = options.threads > 0 ? options.threads : fair_threads;
  constexpr int kFarMore = 4;
  if (threads_ / kFarMore > fair_threads) {
    log::warn(
        "--threads is {}, but this rank has {} core{} to itself: threads that wait for each other "
        "on one core are slow; leave --threads out to use what is there",
        threads_, fair_threads, fair_threads == 1 ? "" : "s");
  }
  agree_on(grid_.world(), [this] {
    if (grid_.world().rank() == 0) CheckpointFile::examine(options_.model);
  });
  agree_on(grid_.world(), [this] {
    checkpoint_.emplace(CheckpointFile::open(options_.model));
    model_ = make_model(checkpoint_->model());
    if (!checkpoint_->tokenizer_kind().empty()) {
      tokenizer_ = make_tokenizer(checkpoint_->tokenizer_kind(), checkpoint_->tokenizer(),
                                  static_cast<int>(model_->info().vocab_size), options_.model);
    }
    const ComputeType compute = resolve_compute_type(
        options_.compute_dtype, parameter_dtype_from_name(options_.param_dtype),
        checkpoint_->parameters(), backend_of(options_.backend, options_.kernel_target),
        checkpoint_->path());
    backend_ = make_backend(options_.backend, {.compute_dtype = compute.dtype,
                                               .int8_products = compute.int8_products,
                                               .threads = threads_,
                                               .node_rank = grid_.node().rank(),
                                               .share_device = options_.share_gpu,
                                               .kernel_target = options_.kernel_target});
    if (options_.share_gpu && backend_->name() != "cuda") {
      throw UsageError(fmt::format("--share-gpu goes with the cuda backend, this run uses {}",
                                   backend_->name()));
    }
    stream_ = backend_->make_stream();
    static_cast<void>(model_->parameters(grid_.shape().tp, grid_.coord().tp));
  });
  agree_on_model(grid_.world(), *checkpoint_);
  tp_exchange_ = std::make_unique<MpiExchange>(grid_.tp(), staging_of(*backend_));
  fsdp_exchange_ = std::make_unique<MpiExchange>(grid_.fsdp(), staging_of(*backend_));
  agree_on_devices();
  Exchange& tp = tp_devices_ ? *tp_devices_ : static_cast<Exchange&>(*tp_exchange_);
  execution_.emplace(ExecutionContext{.backend = *backend_, .stream = *stream_, .tp = tp});
  log::info(
      "{} ranks as dp {} x fsdp {} x tp {} on {} nodes, {} threads a rank; {} backend ({}), {}",
      grid_.world().size(), grid_.shape().dp, grid_.shape().fsdp, grid_.shape().tp, grid_.nodes(),
      threads_, backend_->name(), backend_->target(), backend_->numerics_id());
  if (const std::string reason = backend_->target_reason(); !reason.empty()) {
    log::info("kernel target {}", reason);
  }
}

void RunContext::agree_on_devices() {
  CollectiveStage stage(grid_.world());
  stage.collective([this] { tp_devices_ = backend_->make_device_exchange(*tp_exchange_); });
  stage.collective([this] { fsdp_devices_ = backend_->make_device_exchange(*fsdp_exchange_); });
  stage.finish();
}

void RunContext::load() {
  load(options_.gather_params_once, parameter_dtype_from_name(options_.param_dtype));
}

void RunContext::load(bool gather_once, ParameterDType dtype) {
  parameters_.reset();  // the old ones first: there may be no room for both
  parameters_ =
      make_parameter_source(*checkpoint_, model_->parameters(grid_.shape().tp, grid_.coord().tp),
                            grid_, *backend_, *stream_,
                            {.gather_once = gather_once,
                             .fsdp_min_weight_size = options_.fsdp_min_weight_size,
                             .dtype = dtype,
                             .threads = threads_,
                             .device_exchange = fsdp_devices_.get()});
  loaded_gather_once_ = gather_once;
  loaded_dtype_ = dtype;
}

GenerationState RunContext::generation_state() {
  return {*model_, *execution_, [this](bool gather_once, std::optional<DType> param_dtype) {
            if (param_dtype == DType::fp16) {
              throw UsageError("param_dtype is fp16, expected bf16 or fp32");
            }
            const ParameterDType dtype = !param_dtype
                                             ? parameter_dtype_from_name(options_.param_dtype)
                                         : *param_dtype == DType::bf16 ? ParameterDType::bf16
                                                                       : ParameterDType::fp32;
            const bool as_wanted =
                parameters_ && loaded_gather_once_ == gather_once && loaded_dtype_ == dtype;
            if (!as_wanted) load(gather_once, dtype);
            return std::static_pointer_cast<ParameterSource>(parameters_);
          }};
}

GenerateTokensOptions RunContext::generate_tokens_options() {
  GenerateTokensOptions options;
  options.gather_params_once = options_.gather_params_once;
  options.grid = grid_.shape();
  options.coord = grid_.coord();
  options.exit_group = fsdp_exchange_.get();
  return options;
}

SlotPlan RunContext::resolve_slots(std::int64_t max_length,
                                   std::optional<std::uint64_t> prefix_memory) {
  // Ranks that share a device have all loaded, and none has taken memory for states.
  grid_.node().barrier();
  const SlotPlan mine = agree_on(grid_.world(), [&] {
    return plan_slots(
        *backend_, *model_,
        {.slots = options_.slots, .max_length = max_length, .prefix_memory = prefix_memory},
        {.tp_size = grid_.shape().tp,
         .tp_rank = grid_.coord().tp,
         .node_ranks = grid_.node().size()});
  });
  return least_plan(grid_, mine);
}

}  // namespace gridmill
