#include "support/null_device/null_device.hpp"

#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "support/null_device/device_address.hpp"
#include "support/null_device/work_queue.hpp"

namespace gridmill::testing {

namespace {

class NullStream final : public Stream {
 public:
  explicit NullStream(std::shared_ptr<WorkQueue> queue) : queue_(std::move(queue)) {}
  void synchronize() override {
    queue_->wait();
    queue_->rethrow_failure();
  }
  void submit(std::function<void()> work) { queue_->submit(std::move(work)); }

 private:
  std::shared_ptr<WorkQueue> queue_;
};

/// A state of the reference; everything that the host does with it waits for the device.
template <typename State>
class NullState final : public State {
 public:
  NullState(std::unique_ptr<State> state, std::shared_ptr<WorkQueues> queues)
      : state_(std::move(state)), queues_(std::move(queues)) {}
  ~NullState() override { queues_->wait_all(); }

  void reset(SlotId slot) override {
    queues_->wait_all();
    state_->reset(slot);
  }
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const override {
    return state_->saved_floats(length);
  }
  void save(SlotId slot, std::int64_t length, std::span<float> out) override {
    queues_->wait_all();
    state_->save(slot, length, out);
  }
  void load(SlotId slot, std::int64_t length, std::span<const float> in) override {
    queues_->wait_all();
    state_->load(slot, length, in);
  }
  [[nodiscard]] State& on_device() { return *state_; }

 private:
  std::unique_ptr<State> state_;
  std::shared_ptr<WorkQueues> queues_;
};

/// Experts with weights of their own, since the caller's may be gone when the work runs.
class HostExperts {
 public:
  explicit HostExperts(std::span<const ExpertRows> experts)
      : experts_(experts.begin(), experts.end()) {
    for (ExpertRows& expert : experts_) {
      weights_.push_back(expert.weight == nullptr ? Weight{} : on_host(*expert.weight));
      expert.bias = on_host(expert.bias);
    }
  }
  [[nodiscard]] std::vector<ExpertRows> rows() const {
    std::vector<ExpertRows> rows = experts_;
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].weight = &weights_[i];
    return rows;
  }

 private:
  std::vector<ExpertRows> experts_;
  std::vector<Weight> weights_;
};

class NullDevice final : public Backend {
 public:
  explicit NullDevice(DType compute_dtype)
      : reference_(make_backend("reference", {.compute_dtype = compute_dtype})),
        queues_(std::make_shared<WorkQueues>()),
        inner_(reference_->make_stream()) {}
  ~NullDevice() override { queues_->wait_all(); }

  [[nodiscard]] std::string_view name() const override { return "null"; }
  [[nodiscard]] std::string_view target() const override { return reference_->target(); }
  [[nodiscard]] std::string_view numerics_id() const override { return reference_->numerics_id(); }
  [[nodiscard]] DType compute_dtype() const override { return reference_->compute_dtype(); }
  [[nodiscard]] bool host_memory() const override { return false; }

  [[nodiscard]] std::unique_ptr<Stream> make_stream() override {
    return std::make_unique<NullStream>(queues_->add());
  }
  [[nodiscard]] Buffer allocate(std::size_t size_bytes) override {
    auto memory = std::make_shared<Buffer>(reference_->allocate(size_bytes));
    std::byte* address = device_address(memory->data());
    // Like a device's allocator, the release waits for all work.
    return {address, size_bytes, [memory, queues = queues_](std::byte*) { queues->wait_all(); }};
  }
  [[nodiscard]] Buffer allocate_staging(std::size_t size_bytes) override {
    auto memory = std::make_shared<Buffer>(Backend::allocate_staging(size_bytes));
    std::byte* data = memory->data();
    // Another content in every process.
    std::memset(data, static_cast<int>(::getpid() % 255) + 1, size_bytes);
    staging_[data] = size_bytes;
    return {data, size_bytes, [this, memory](std::byte* address) {
              queues_->wait_all();
              staging_.erase(address);
            }};
  }
  void upload(Stream& stream, std::span<const std::byte> host, std::byte* device) override {
    if (is_staging(host)) {
      submit(stream,
             [this, host, device] { reference_->upload(*inner_, host, host_address(device)); });
      return;
    }
    submit(stream, [this, host = copied(host), device] {
      reference_->upload(*inner_, host, host.empty() ? nullptr : host_address(device));
    });
  }
  void download(Stream& stream, const std::byte* device, std::span<std::byte> host) override {
    submit(stream, [this, device, host] {
      reference_->download(*inner_, host.empty() ? nullptr : host_address(device), host);
    });
  }
  [[nodiscard]] std::unique_ptr<KvCache> make_kv_cache(const KvCacheShape& shape) override {
    return std::make_unique<NullState<KvCache>>(reference_->make_kv_cache(shape), queues_);
  }
  [[nodiscard]] std::unique_ptr<MlstmState> make_mlstm_state(
      const MlstmStateShape& shape) override {
    return std::make_unique<NullState<MlstmState>>(reference_->make_mlstm_state(shape), queues_);
  }
  [[nodiscard]] std::unique_ptr<RecurrentState> make_recurrent_state(
      const RecurrentStateShape& shape) override {
    return std::make_unique<NullState<RecurrentState>>(reference_->make_recurrent_state(shape),
                                                       queues_);
  }

  [[nodiscard]] std::int64_t panel_outputs() const override { return reference_->panel_outputs(); }
  [[nodiscard]] std::size_t panel_bytes(const MatrixShape& shape,
                                        MatrixLayout layout) const override {
    return reference_->panel_bytes(shape, layout);
  }
  void pack_panel(const MatrixShape& shape, MatrixLayout layout, DType dtype,
                  std::span<const std::byte* const> lanes,
                  std::span<std::byte> panel) const override {
    reference_->pack_panel(shape, layout, dtype, lanes, panel);
  }

  [[nodiscard]] std::size_t packed_bytes(std::int64_t rows, std::int64_t inputs) const override {
    return reference_->packed_bytes(rows, inputs);
  }
  void pack_rows(Stream& stream, std::span<const ConstDeviceMatrix> x, PackedRows out) override {
    submit(stream, [this, x = copied(x), out]() mutable {
      for (ConstDeviceMatrix& part : x) part = on_host(part);
      reference_->pack_rows(*inner_, x, on_host(out));
    });
  }
  void linear(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
              float soft_cap, DeviceMatrix out) override {
    submit(stream, [=, this] {
      reference_->linear(*inner_, on_host(x), on_host(w), on_host(bias), soft_cap, on_host(out));
    });
  }
  void linear_gated(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
                    Activation activation, PackedRows out) override {
    submit(stream, [=, this] {
      reference_->linear_gated(*inner_, on_host(x), on_host(w), on_host(bias), activation,
                               on_host(out));
    });
  }
  void linear_activated(Stream& stream, const PackedRows& x, const Weight& w,
                        ConstDeviceVector bias, Activation activation, PackedRows out) override {
    submit(stream, [=, this] {
      reference_->linear_activated(*inner_, on_host(x), on_host(w), on_host(bias), activation,
                                   on_host(out));
    });
  }
  void linear_row_parallel(Stream& stream, const PackedRows& x, const Weight& w,
                           ConstDeviceVector bias, bool accumulate, DeviceMatrix out) override {
    submit(stream, [=, this] {
      reference_->linear_row_parallel(*inner_, on_host(x), on_host(w), on_host(bias), accumulate,
                                      on_host(out));
    });
  }
  void linear_partial(Stream& stream, const PackedRows& x, const Weight& w, int tp_size,
                      DeviceMatrix out) override {
    submit(stream, [=, this] {
      reference_->linear_partial(*inner_, on_host(x), on_host(w), tp_size, on_host(out));
    });
  }
  void join_partials(Stream& stream, const float* parts, int tp_size, ConstDeviceVector bias,
                     bool accumulate, DeviceMatrix out) override {
    submit(stream, [=, this] {
      const bool empty = out.rows == 0 || out.columns == 0;
      reference_->join_partials(*inner_, empty ? nullptr : host_address(parts), tp_size,
                                on_host(bias), accumulate, on_host(out));
    });
  }

  void embed(Stream& stream, const Weight& table, std::int64_t first_id,
             std::span<const TokenId> ids, DeviceMatrix out) override {
    submit(stream, [this, table, first_id, ids = copied(ids), out] {
      reference_->embed(*inner_, on_host(table), first_id, ids, on_host(out));
    });
  }
  void norm_pack(Stream& stream, ConstDeviceMatrix x, const Norm& norm,
                 std::span<const std::int64_t> rows, PackedRows out) override {
    submit(stream, [this, x, norm, rows = copied(rows), out] {
      reference_->norm_pack(*inner_, on_host(x), on_host(norm), rows, on_host(out));
    });
  }
  void norm_add(Stream& stream, ConstDeviceMatrix y, const Norm& norm, DeviceMatrix x) override {
    submit(stream,
           [=, this] { reference_->norm_add(*inner_, on_host(y), on_host(norm), on_host(x)); });
  }
  void scale_add(Stream& stream, float x_scale, ConstDeviceMatrix y, float y_scale,
                 DeviceMatrix x) override {
    submit(stream, [=, this] {
      reference_->scale_add(*inner_, x_scale, y.data == nullptr ? y : on_host(y), y_scale,
                            on_host(x));
    });
  }

  void attend(Stream& stream, std::span<const TokenSpan> spans, const Attention& attention,
              int layer, DeviceMatrix qkv, KvCache& cache, PackedRows out) override {
    KvCache& device_cache = dynamic_cast<NullState<KvCache>&>(cache).on_device();
    submit(stream, [this, spans = copied(spans), attention, layer, qkv, &device_cache, out] {
      reference_->attend(*inner_, spans, on_host(attention), layer, on_host(qkv), device_cache,
                         on_host(out));
    });
  }
  void mlstm(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm, int layer,
             ConstDeviceMatrix inputs, MlstmState& state, PackedRows out) override {
    MlstmState& device_state = dynamic_cast<NullState<MlstmState>&>(state).on_device();
    submit(stream, [this, spans = copied(spans), mlstm, layer, inputs, &device_state, out] {
      reference_->mlstm(*inner_, spans, on_host(mlstm), layer, on_host(inputs), device_state,
                        on_host(out));
    });
  }
  void mlstm_unpacked(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                      int layer, ConstDeviceMatrix inputs, MlstmState& state,
                      DeviceMatrix out) override {
    MlstmState& device_state = dynamic_cast<NullState<MlstmState>&>(state).on_device();
    submit(stream, [this, spans = copied(spans), mlstm, layer, inputs, &device_state, out] {
      reference_->mlstm_unpacked(*inner_, spans, on_host(mlstm), layer, on_host(inputs),
                                 device_state, on_host(out));
    });
  }

  void short_convolution(Stream& stream, std::span<const TokenSpan> spans,
                         const ShortConvolution& convolution, int layer, ConstDeviceMatrix x,
                         RecurrentState& state, DeviceMatrix out) override {
    RecurrentState& device_state = dynamic_cast<NullState<RecurrentState>&>(state).on_device();
    submit(stream, [this, spans = copied(spans), convolution, layer, x, &device_state, out] {
      reference_->short_convolution(*inner_, spans, on_host(convolution), layer, on_host(x),
                                    device_state, on_host(out));
    });
  }
  void decay_gates(Stream& stream, ConstDeviceMatrix x, ConstDeviceMatrix strength,
                   const DecayGates& gates, DeviceMatrix out) override {
    submit(stream, [=, this] {
      reference_->decay_gates(*inner_, on_host(x), on_host(strength), on_host(gates), on_host(out));
    });
  }
  void norm_groups(Stream& stream, ConstDeviceMatrix x, const Norm& norm, int groups,
                   DeviceMatrix out) override {
    submit(stream, [=, this] {
      reference_->norm_groups(*inner_, on_host(x), on_host(norm), groups, on_host(out));
    });
  }
  void linear_recurrence(Stream& stream, std::span<const TokenSpan> spans,
                         const LinearRecurrence& recurrence, int layer,
                         const RecurrenceInputs& inputs, RecurrentState& state,
                         DeviceMatrix out) override {
    RecurrentState& device_state = dynamic_cast<NullState<RecurrentState>&>(state).on_device();
    submit(stream, [this, spans = copied(spans), recurrence, layer, inputs, &device_state, out] {
      reference_->linear_recurrence(*inner_, spans, on_host(recurrence), layer, on_host(inputs),
                                    device_state, on_host(out));
    });
  }
  void gated_norm_pack(Stream& stream, ConstDeviceMatrix y, ConstDeviceMatrix z,
                       const GatedNorm& gated, PackedRows out) override {
    submit(stream, [=, this] {
      reference_->gated_norm_pack(*inner_, on_host(y), on_host(z), on_host(gated), on_host(out));
    });
  }
  void slstm(Stream& stream, std::span<const TokenSpan> spans, const Slstm& cell, int layer,
             ConstDeviceMatrix inputs, RecurrentState& state, DeviceMatrix out) override {
    RecurrentState& device_state = dynamic_cast<NullState<RecurrentState>&>(state).on_device();
    submit(stream, [this, spans = copied(spans), cell, layer, inputs, &device_state, out] {
      reference_->slstm(*inner_, spans, on_host(cell), layer, on_host(inputs), device_state,
                        on_host(out));
    });
  }

  void channel_affine(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weight,
                      ConstDeviceVector bias, Activation activation, DeviceMatrix out) override {
    submit(stream, [=, this] {
      reference_->channel_affine(*inner_, on_host(x), on_host(weight), on_host(bias), activation,
                                 on_host(out));
    });
  }
  void block_diagonal(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector blocks,
                      std::int64_t groups, DeviceMatrix out) override {
    submit(stream, [=, this] {
      reference_->block_diagonal(*inner_, on_host(x), on_host(blocks), groups, on_host(out));
    });
  }
  void skip_gate_pack(Stream& stream, ConstDeviceMatrix h, ConstDeviceVector skip,
                      ConstDeviceMatrix a, ConstDeviceMatrix z, Activation activation,
                      PackedRows out) override {
    submit(stream, [=, this] {
      reference_->skip_gate_pack(*inner_, on_host(h), on_host(skip), on_host(a), on_host(z),
                                 activation, on_host(out));
    });
  }

  void norm_rows(Stream& stream, ConstDeviceMatrix x, const Norm& norm, DeviceMatrix out) override {
    submit(stream,
           [=, this] { reference_->norm_rows(*inner_, on_host(x), on_host(norm), on_host(out)); });
  }
  void row_dots(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weights,
                ConstDeviceVector bias, DeviceMatrix out) override {
    submit(stream, [=, this] {
      reference_->row_dots(*inner_, on_host(x), on_host(weights), on_host(bias), on_host(out));
    });
  }
  void gather_pack(Stream& stream, ConstDeviceMatrix x, std::span<const ExpertRows> experts,
                   std::span<const std::int64_t> rows, PackedRows out) override {
    submit(stream, [=, this, experts = HostExperts(experts), rows = copied(rows)] {
      reference_->gather_pack(*inner_, on_host(x), experts.rows(), rows, on_host(out));
    });
  }
  void experts_gated(Stream& stream, const PackedRows& x, std::span<const ExpertRows> experts,
                     const ExpertGate& gate, PackedRows out) override {
    submit(stream, [=, this, experts = HostExperts(experts)] {
      reference_->experts_gated(*inner_, on_host(x), experts.rows(), gate, on_host(out));
    });
  }
  void experts_down(Stream& stream, const PackedRows& x, std::span<const ExpertRows> experts,
                    std::span<const std::int64_t> rows, std::span<const float> weights,
                    const ExpertSums& sums, DeviceMatrix blocks) override {
    submit(stream, [=, this, experts = HostExperts(experts), rows = copied(rows),
                    weights = copied(weights)] {
      reference_->experts_down(*inner_, on_host(x), experts.rows(), rows, weights, sums,
                               on_host(blocks));
    });
  }

  void select(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
              float soft_cap, std::int64_t vocab_size, std::int64_t first_id, int tp_size,
              std::span<const SelectRow> rows, SelectPartial* partials,
              DeviceMatrix kept) override {
    submit(stream, [=, this, rows = copied(rows)] {
      reference_->select(*inner_, on_host(x), on_host(w), on_host(bias), soft_cap, vocab_size,
                         first_id, tp_size, rows, x.rows == 0 ? nullptr : host_address(partials),
                         kept.rows == 0 ? kept : on_host(kept));
    });
  }

  void adjust_logits(Stream& stream, std::span<const SamplingPlan> plans, const KeptLogits& kept,
                     LogitPeak* peaks) override {
    submit(stream, [=, this, rules = copied_rules(plans), plans = copied(plans)]() mutable {
      for (std::size_t i = 0; i < plans.size(); ++i) plans[i].rules.tokens = rules[i];
      reference_->adjust_logits(*inner_, plans, kept_on_host(kept), host_address(peaks));
    });
  }
  void count_logits(Stream& stream, std::span<const CountPass> passes, const KeptLogits& kept,
                    FilterBins* bins) override {
    submit(stream, [=, this, passes = copied(passes)] {
      reference_->count_logits(*inner_, passes, kept_on_host(kept), host_address(bins));
    });
  }
  void draw_logits(Stream& stream, std::span<const DrawPass> rows, const KeptLogits& kept,
                   Drawn* drawn) override {
    std::vector<SamplingPlan> plans;
    for (const DrawPass& row : rows) plans.push_back(row.plan);
    submit(stream, [=, this, rules = copied_rules(plans), rows = copied(rows)]() mutable {
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i].plan.rules.tokens = rules[i];
      reference_->draw_logits(*inner_, rows, kept_on_host(kept), host_address(drawn));
    });
  }
  void list_logits(Stream& stream, std::span<const FilterRow> rows, const KeptLogits& kept,
                   std::int64_t most, RankedToken* listed) override {
    submit(stream, [=, this, rows = copied(rows)] {
      reference_->list_logits(*inner_, rows, kept_on_host(kept), most, host_address(listed));
    });
  }

 private:
  [[nodiscard]] bool is_staging(std::span<const std::byte> host) const {
    auto behind = staging_.upper_bound(host.data());
    if (host.empty() || behind == staging_.begin()) return false;
    const auto& [first, size_bytes] = *--behind;
    return host.data() < first + size_bytes;
  }
  static std::vector<std::vector<TokenRule>> copied_rules(std::span<const SamplingPlan> plans) {
    std::vector<std::vector<TokenRule>> rules;
    for (const SamplingPlan& plan : plans) {
      rules.emplace_back(plan.rules.tokens.begin(), plan.rules.tokens.end());
    }
    return rules;
  }
  static KeptLogits kept_on_host(KeptLogits kept) {
    kept.logits = on_host(kept.logits);
    kept.block_keys = host_address(kept.block_keys);
    kept.rule_logits = host_address(kept.rule_logits);
    return kept;
  }
  static void submit(Stream& stream, std::function<void()> work) {
    dynamic_cast<NullStream&>(stream).submit(std::move(work));
  }

  std::unique_ptr<Backend> reference_;
  std::shared_ptr<WorkQueues> queues_;
  std::map<const std::byte*, std::size_t> staging_;  ///< first bytes and sizes
  std::unique_ptr<Stream> inner_;  ///< the reference finishes every call before it returns
};

}  // namespace

std::unique_ptr<Backend> make_null_device(DType compute_dtype) {
  return std::make_unique<NullDevice>(compute_dtype);
}

}  // namespace gridmill::testing
