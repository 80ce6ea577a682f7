#include <algorithm>
#include <cstdint>

#include "bench/random_parameters_detail.hpp"
#include "gridmill/base/philox.hpp"

namespace gridmill::bench_detail {

RandomParameters::RandomParameters(const Model& model, Backend& backend, Stream& stream)
    : backend_(backend) {
  const ModelParameters parameters = model.parameters(1, 0);
  embedding_unit_ = parameters.embedding_unit;
  first_embedding_id_ = parameters.embedding_ids.first;
  for (const UnitSpec& spec : parameters.units) {
    UnitWeights& unit = units_.emplace_back();
    for (const MatrixSpec& matrix : spec.matrices) {
      unit.matrices.push_back(make_weight(matrix, stream));
    }
    for (const VectorSpec& vector : spec.vectors) {
      unit.vectors.push_back(make_vector(vector, stream));
    }
  }
  stream.synchronize();
}

std::byte* RandomParameters::take_memory(std::size_t size_bytes) {
  memory_.push_back(backend_.allocate(std::max<std::size_t>(size_bytes, 1)));
  size_bytes_ += size_bytes;
  return memory_.back().data();
}

Weight RandomParameters::make_weight(const MatrixSpec& spec, Stream& stream) {
  const std::int64_t width = spec.layout == MatrixLayout::rows ? 1 : backend_.panel_outputs();
  const std::int64_t panels = panel_count(spec, width);
  Weight weight{.shape = spec.shape,
                .fuse = spec.fuse,
                .layout = spec.layout,
                .panel_bytes = backend_.panel_bytes(spec.shape, spec.layout),
                .runs = {}};
  std::byte* data = take_memory(static_cast<std::size_t>(panels) * weight.panel_bytes);
  backend_.fill_random(stream, spec.shape, spec.layout, panels, ++seed_, data);
  weight.runs.push_back({.first_panel = 0, .panels = panels, .data = data});
  return weight;
}

ConstDeviceVector RandomParameters::make_vector(const VectorSpec& spec, Stream& stream) {
  std::vector<float> values;
  ++seed_;
  for (const VectorPart& part : spec.parts) {
    const bool is_norm_weight = part.parameter.ends_with("norm");
    for (std::int64_t i = 0; i < part.elements.count; ++i) {
      const auto words = philox4x32(
          {static_cast<std::uint32_t>(values.size()), static_cast<std::uint32_t>(seed_), 0, 0},
          {5, 5});
      values.push_back(is_norm_weight ? 1.0F : (unit_uniform(words[0]) - 0.5F) * kRandomWidth);
    }
  }
  const auto bytes = std::as_bytes(std::span<const float>(values));
  std::byte* data = take_memory(bytes.size());
  backend_.upload(stream, bytes, data);
  stream.synchronize();  // `values` goes
  return {reinterpret_cast<const float*>(data), static_cast<std::int64_t>(values.size())};
}

UnitLease RandomParameters::acquire(UnitId unit) {
  return {units_.at(static_cast<std::size_t>(unit)), [] {}};
}

void RandomParameters::embed(Stream& stream, std::span<const TokenId> ids, DeviceMatrix out) {
  const Weight& table = units_.at(static_cast<std::size_t>(embedding_unit_)).matrices.front();
  backend_.embed(stream, table, first_embedding_id_, ids, out);
}

}  // namespace gridmill::bench_detail
