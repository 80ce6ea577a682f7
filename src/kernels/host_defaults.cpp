#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "gridmill/base/available_memory.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/philox.hpp"
#include "gridmill/kernels/backend.hpp"

// Shared behaviour of the backends on the host; a device backend overrides it.
namespace gridmill {

void Backend::order(Stream& /*after*/, Stream& before) {
  // Work of a backend on the host has run when its call returns.
  if (!host_memory()) before.synchronize();
}

Buffer Backend::allocate_staging(std::size_t size_bytes) {
  auto memory = std::make_unique_for_overwrite<std::byte[]>(size_bytes);
  return {memory.release(), size_bytes, [](std::byte* data) { delete[] data; }};
}

std::unique_ptr<Exchange> Backend::make_device_exchange(Exchange& /*group*/) { return nullptr; }

void SequenceState::fork(SlotId from, SlotId to, std::int64_t length) {
  GRIDMILL_ASSERT(from != to, "a slot is forked onto itself");
  std::vector<float> saved(saved_floats(length));
  save(from, length, saved);
  load(to, length, saved);
}

StateBudget Backend::state_budget(int node_ranks, std::uint64_t /*workspace_bytes*/) const {
  return host_state_budget(available_memory().share_of(node_ranks));
}

StateBudget Backend::host_state_budget(std::optional<std::uint64_t> share) const {
  // Half: pages of files, buffers and the other programs of the node need memory, too.
  return {.known = share.has_value(),
          .bytes = share.value_or(0) / 2,
          .most_slots = 64,
          .pooled = false};
}

void Backend::fill_random(Stream& stream, const MatrixShape& shape, MatrixLayout layout,
                          std::int64_t panels, std::uint64_t seed, std::byte* data) {
  // Every lane takes its values from some place of one pool: drawing each anew would take longer
  // than packing them.
  constexpr std::size_t kPlaces = 1 << 16;
  const auto inputs = static_cast<std::size_t>(shape.inputs);
  std::vector<float> pool(inputs + kPlaces);
  for (std::size_t i = 0; i < pool.size(); ++i) {
    const auto words =
        philox4x32({static_cast<std::uint32_t>(i), 0, 0, 0}, {static_cast<std::uint32_t>(seed), 1});
    pool[i] = (unit_uniform(words[0]) - 0.5F) * kRandomWidth;
  }
  const auto width = static_cast<std::size_t>(layout == MatrixLayout::rows ? 1 : panel_outputs());
  std::vector<const std::byte*> lanes(width);
  std::vector<std::byte> panel(panel_bytes(shape, layout));
  for (std::int64_t index = 0; index < panels; ++index) {
    for (std::size_t lane = 0; lane < width; ++lane) {
      const auto words =
          philox4x32({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(lane), 1, 0},
                     {static_cast<std::uint32_t>(seed), 1});
      lanes[lane] = reinterpret_cast<const std::byte*>(pool.data() + words[0] % kPlaces);
    }
    pack_panel(shape, layout, DType::fp32, lanes, panel);
    upload(stream, panel, data + static_cast<std::size_t>(index) * panel.size());
    if (!host_memory()) stream.synchronize();  // `panel` is used again
  }
}

namespace {

[[noreturn]] void refuse(const Backend& backend, std::string_view operation) {
  throw UsageError(
      fmt::format("the {} backend has no {}, which this model needs; use --backend cpu",
                  backend.name(), operation));
}

}  // namespace

std::unique_ptr<RecurrentState> Backend::make_recurrent_state(const RecurrentStateShape& shape) {
  if (shape.heads > 0) refuse(*this, "linear_recurrence");
  refuse(*this, shape.cell_width > 0 ? "slstm" : "short_convolution");
}

void Backend::short_convolution(Stream& /*stream*/, std::span<const TokenSpan> /*spans*/,
                                const ShortConvolution& /*convolution*/, int /*layer*/,
                                ConstDeviceMatrix /*x*/, RecurrentState& /*state*/,
                                DeviceMatrix /*out*/) {
  refuse(*this, "short_convolution");
}

void Backend::decay_gates(Stream& /*stream*/, ConstDeviceMatrix /*x*/,
                          ConstDeviceMatrix /*strength*/, const DecayGates& /*gates*/,
                          DeviceMatrix /*out*/) {
  refuse(*this, "decay_gates");
}

void Backend::norm_groups(Stream& /*stream*/, ConstDeviceMatrix /*x*/, const Norm& /*norm*/,
                          int /*groups*/, DeviceMatrix /*out*/) {
  refuse(*this, "norm_groups");
}

void Backend::linear_recurrence(Stream& /*stream*/, std::span<const TokenSpan> /*spans*/,
                                const LinearRecurrence& /*recurrence*/, int /*layer*/,
                                const RecurrenceInputs& /*inputs*/, RecurrentState& /*state*/,
                                DeviceMatrix /*out*/) {
  refuse(*this, "linear_recurrence");
}

void Backend::gated_norm_pack(Stream& /*stream*/, ConstDeviceMatrix /*y*/, ConstDeviceMatrix /*z*/,
                              const GatedNorm& /*gated*/, PackedRows /*out*/) {
  refuse(*this, "gated_norm_pack");
}

void Backend::slstm(Stream& /*stream*/, std::span<const TokenSpan> /*spans*/, const Slstm& /*cell*/,
                    int /*layer*/, ConstDeviceMatrix /*inputs*/, RecurrentState& /*state*/,
                    DeviceMatrix /*out*/) {
  refuse(*this, "slstm");
}

}  // namespace gridmill
