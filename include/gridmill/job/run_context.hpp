#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "gridmill/base/device.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/checkpoint/parameter_store.hpp"
#include "gridmill/generate/generate_tokens.hpp"
#include "gridmill/grid/grid.hpp"
#include "gridmill/grid/mpi_exchange.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/job_watch.hpp"
#include "gridmill/job/machine.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

/// Everything that a command which runs a model needs: the grid, the checkpoint, the model, its
/// backend and, once load() was called, its parameters. One a process.
class RunContext {
 public:
  /// Collective over every rank: forms the grid, opens the checkpoint, makes backend, model and
  /// tokenizer.
  /// @throws on every rank the same: UsageError, MissingInputError, FormatError, ResourceError.
  /// @param time_limit  the job stops when so much time has passed from now.
  explicit RunContext(const RunOptions& options,
                      std::optional<std::chrono::milliseconds> time_limit = {});
  RunContext(const RunContext&) = delete;
  RunContext& operator=(const RunContext&) = delete;

  /// Collective: reads this rank's parameters, and gathers them if asked to.
  void load();

  /// The state of generate_tokens: this model, and parameters that are loaded (collective) in the
  /// form of the call, unless they are loaded already. Without param_dtype a call takes them in the
  /// form of this context's options. Refers to this context.
  [[nodiscard]] GenerationState generation_state();
  /// The defaults of generate_tokens, gathering as this context does, with this rank's place in the
  /// grid and its exit group.
  [[nodiscard]] GenerateTokensOptions generate_tokens_options();

  [[nodiscard]] Grid& grid() { return grid_; }
  /// From the start: loading may be stopped, too.
  [[nodiscard]] JobWatch& watch() { return watch_; }
  [[nodiscard]] const CheckpointFile& checkpoint() const { return *checkpoint_; }
  [[nodiscard]] const Model& model() const { return *model_; }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] ExecutionContext& execution() { return *execution_; }
  [[nodiscard]] CheckpointParameters& parameters() { return *parameters_; }
  /// The checkpoint's tokenizer; nullptr if it has none.
  [[nodiscard]] const Tokenizer* tokenizer() const { return tokenizer_.get(); }
  /// Whether the ranks of an fsdp group pass in lock step, since each layer is gathered when it is
  /// used.
  [[nodiscard]] bool lock_step() const {
    return !options_.gather_params_once && grid_.shape().fsdp > 1;
  }
  [[nodiscard]] Exchange& fsdp_exchange() { return *fsdp_exchange_; }
  [[nodiscard]] MpiExchange& tp_exchange() { return *tp_exchange_; }
  [[nodiscard]] const RunOptions& options() const { return options_; }
  [[nodiscard]] int threads() const { return threads_; }
  /// First rank of a tp group: it claims and writes the group's rows.
  [[nodiscard]] bool is_leader() const { return grid_.coord().tp == 0; }
  /// Slots as asked for, or what fits beside the parameters, and the tokens of a pass. Collective,
  /// after load().
  /// @param prefix_memory  SlotRequest::prefix_memory.
  [[nodiscard]] SlotPlan resolve_slots(std::int64_t max_length,
                                       std::optional<std::uint64_t> prefix_memory = 0);

 private:
  void load(bool gather_once, ParameterDType dtype);
  /// Collective: makes tp_devices_ and fsdp_devices_.
  void agree_on_devices();

  RunOptions options_;
  Grid grid_;
  JobWatch watch_;
  int threads_ = 1;
  std::optional<CheckpointFile> checkpoint_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<MpiExchange> tp_exchange_;
  std::unique_ptr<MpiExchange> fsdp_exchange_;
  /// Between devices, where their backend has a way of its own; null = through the host.
  std::unique_ptr<Exchange> tp_devices_;
  std::unique_ptr<Exchange> fsdp_devices_;
  std::optional<ExecutionContext> execution_;
  std::shared_ptr<CheckpointParameters> parameters_;
  bool loaded_gather_once_ = false;
  ParameterDType loaded_dtype_ = ParameterDType::checkpoint;
};

}  // namespace gridmill
