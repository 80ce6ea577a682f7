#include "gridmill/checkpoint/parameter_store.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checkpoint/embedding_lookup_detail.hpp"
#include "checkpoint/parameter_loader_detail.hpp"
#include "checkpoint/unit_gather_detail.hpp"
#include "checkpoint/unit_layout_detail.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/grid/mpi_exchange.hpp"

namespace gridmill {

namespace detail = checkpoint_detail;

ParameterDType parameter_dtype_from_name(std::string_view name) {
  if (name == "checkpoint") return ParameterDType::checkpoint;
  if (name == "bf16") return ParameterDType::bf16;
  if (name == "fp32") return ParameterDType::fp32;
  throw UsageError(
      fmt::format("--param-dtype is '{}', but must be checkpoint, bf16 or fp32", name));
}

DType dominant_dtype(std::span<const StoredParameter> stored, ParameterDType cast) {
  if (cast == ParameterDType::bf16) return DType::bf16;
  if (cast == ParameterDType::fp32) return DType::fp32;
  std::uint64_t all_bytes = 0;
  std::uint64_t bf16_bytes = 0;
  for (const StoredParameter& parameter : stored) {
    all_bytes += parameter.size_bytes();
    if (parameter.dtype == DType::bf16) bf16_bytes += parameter.size_bytes();
  }
  return bf16_bytes * 2 > all_bytes ? DType::bf16 : DType::fp32;
}

bool has_codes(std::span<const StoredParameter> stored, ParameterDType cast) {
  return cast == ParameterDType::checkpoint &&
         std::any_of(stored.begin(), stored.end(),
                     [](const StoredParameter& parameter) { return parameter.format.coded(); });
}

namespace {

/// Format that all parts of `matrix` are stored in; values if they differ.
WeightFormat stored_format(const MatrixSpec& matrix,
                           const std::unordered_map<std::string, const StoredParameter*>& stored) {
  std::optional<WeightFormat> format;
  for (const MatrixPart& part : matrix.parts) {
    const auto found = stored.find(part.parameter);
    if (found == stored.end() || !found->second->format.coded()) return {};
    const StoredParameter& parameter = *found->second;
    const std::int64_t block = matrix.shape.row_parallel
                                   ? reduction_block_inputs(matrix.shape.whole_inputs)
                                   : matrix.shape.inputs;
    if (parameter.block != block || format.value_or(parameter.format) != parameter.format) {
      return {};
    }
    format = parameter.format;
  }
  return format.value_or(WeightFormat{});
}

}  // namespace

ModelParameters with_stored_formats(ModelParameters parameters,
                                    std::span<const StoredParameter> list, const Backend& backend,
                                    ParameterDType cast) {
  if (!has_codes(list, cast)) return parameters;
  std::unordered_map<std::string, const StoredParameter*> stored;
  for (const StoredParameter& parameter : list) {
    stored.emplace(parameter.spec.name, &parameter);
  }
  for (std::size_t unit = 0; unit < parameters.units.size(); ++unit) {
    std::vector<MatrixSpec>& matrices = parameters.units[unit].matrices;
    for (std::size_t index = 0; index < matrices.size(); ++index) {
      // Token rows are looked up there, also where it is a tied head.
      const bool embeds = static_cast<UnitId>(unit) == parameters.embedding_unit && index == 0;
      if (embeds || matrices[index].layout != MatrixLayout::panels) continue;
      const WeightFormat format = stored_format(matrices[index], stored);
      if (backend.holds(format)) matrices[index].shape.format = format;
    }
  }
  return parameters;
}

struct CheckpointParameters::Impl {
  Impl(Backend& backend_given, Stream& stream_given, ModelParameters parameters_given)
      : backend(backend_given), stream(stream_given), parameters(std::move(parameters_given)) {}

  Backend& backend;
  Stream& stream;
  ModelParameters parameters;
  detail::LoadedParameters loaded;
  std::vector<UnitWeights> weights;  ///< of units that need no gathering
  std::unique_ptr<MpiExchange> staged;
  std::unique_ptr<detail::UnitGather> gather;  ///< null if everything is here
  std::unique_ptr<detail::EmbeddingLookup> lookup;
  std::uint64_t checkpoint_bytes = 0;
  int held = 0;

  [[nodiscard]] bool is_gathered(UnitId unit) const {
    return gather && loaded.layouts.at(static_cast<std::size_t>(unit)).gathered_bytes > 0;
  }
};

CheckpointParameters::CheckpointParameters(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CheckpointParameters::~CheckpointParameters() = default;

void CheckpointParameters::prefetch(UnitId unit) {
  if (impl_->is_gathered(unit)) impl_->gather->prefetch(unit);
}

UnitLease CheckpointParameters::acquire(UnitId unit) {
  GRIDMILL_ASSERT(impl_->held < 2, "at most two units may be held");
  if (!impl_->is_gathered(unit)) {
    ++impl_->held;
    return {impl_->weights.at(static_cast<std::size_t>(unit)), [this] { --impl_->held; }};
  }
  const UnitWeights& weights = impl_->gather->acquire(unit);
  ++impl_->held;
  return {weights, [this, unit] {
            impl_->gather->release(unit);
            --impl_->held;
          }};
}

void CheckpointParameters::embed(Stream& stream, std::span<const TokenId> ids, DeviceMatrix out) {
  impl_->lookup->embed(stream, ids, out);
}

ParameterStatistics CheckpointParameters::statistics() const {
  ParameterStatistics statistics;
  statistics.checkpoint_bytes = impl_->checkpoint_bytes;
  statistics.bytes_read = impl_->loaded.bytes_read;
  statistics.bytes_received = impl_->loaded.bytes_received + impl_->lookup->bytes_received();
  statistics.private_bytes = impl_->loaded.memory.size_bytes();
  statistics.shared_bytes = impl_->loaded.shared.bytes().size();
  if (impl_->gather) {
    statistics.bytes_received += impl_->gather->bytes_received();
    statistics.private_bytes += impl_->gather->buffer_bytes();
  }
  return statistics;
}

std::string CheckpointParameters::held_hash() const {
  const std::span<const std::byte> shared = impl_->loaded.shared.bytes();
  const Buffer& memory = impl_->loaded.memory;
  const bool on_host = impl_->backend.host_memory();
  const std::size_t bytes = shared.empty() ? memory.size_bytes() : shared.size();
  const std::byte* data = shared.empty() ? memory.data() : shared.data();
  // Pages that stand evenly spaced; all of them up to kMostBytes.
  constexpr std::size_t kPage = 4096;
  constexpr std::size_t kMostBytes = std::size_t{64} << 20;
  const std::size_t stride = (bytes / kMostBytes + 1) * kPage;
  ContentHash hash;
  hash.update(std::to_string(bytes));
  std::vector<std::byte> page(kPage);
  for (std::size_t at = 0; at < bytes; at += stride) {
    const std::size_t count = std::min(kPage, bytes - at);
    if (on_host) {
      hash.update(std::span(data + at, count));
      continue;
    }
    impl_->backend.download(impl_->stream, data + at, std::span(page).first(count));
    impl_->stream.synchronize();
    hash.update(std::span(page).first(count));
  }
  return hash.hex();
}

std::unique_ptr<CheckpointParameters> make_parameter_source(const CheckpointFile& file,
                                                            const ModelParameters& parameters,
                                                            Grid& grid, Backend& backend,
                                                            Stream& stream,
                                                            const ParameterOptions& options) {
  auto impl = std::make_unique<CheckpointParameters::Impl>(
      backend, stream, with_stored_formats(parameters, file.parameters(), backend, options.dtype));
  impl->checkpoint_bytes = file.parameter_bytes();
  impl->loaded = detail::load_parameters(file, impl->parameters, grid, backend, options);
  const detail::LoadedParameters& loaded = impl->loaded;
  const std::vector<UnitSpec>& units = impl->parameters.units;
  const int own = grid.fsdp().rank();

  if (!loaded.whole) {
    agree_on(grid.world(), [&] {
      Exchange* exchange = options.device_exchange;
      if (backend.host_memory()) {
        exchange = nullptr;
      } else if (exchange == nullptr) {
        impl->staged = std::make_unique<MpiExchange>(
            grid.fsdp(),
            HostStaging{[&backend](Stream& on, const std::byte* device, std::span<std::byte> host) {
                          backend.download(on, device, host);
                        },
                        [&backend](Stream& on, std::span<const std::byte> host, std::byte* device) {
                          backend.upload(on, host, device);
                        }});
        exchange = impl->staged.get();
      }
      impl->gather = std::make_unique<detail::UnitGather>(units, loaded.layouts, loaded.resident,
                                                          grid.fsdp(), backend, stream, exchange);
    });
  }
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    const detail::ResidentUnit& resident = loaded.resident[unit];
    const bool elsewhere = !loaded.whole && loaded.layouts[unit].gathered_bytes > 0;
    impl->weights.push_back(elsewhere
                                ? UnitWeights{}
                                : detail::make_weights(units[unit], loaded.layouts[unit], own,
                                                       resident.block, resident.kept, nullptr));
  }
  impl->lookup = std::make_unique<detail::EmbeddingLookup>(
      detail::embedding_table(impl->parameters, loaded, backend, own), grid.tp(), grid.fsdp(),
      backend);
  return std::make_unique<CheckpointParameters>(std::move(impl));
}

}  // namespace gridmill
