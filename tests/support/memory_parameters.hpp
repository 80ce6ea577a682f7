#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/philox.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_source.hpp"

namespace gridmill::test {

/// Full parameters of a model, fp32, row-major, by name.
using Tensors = std::map<std::string, std::vector<float>>;

/// Deterministic parameters of a size that keeps activations and logits of order one: norm weights
/// near 1, biases small, matrices uniform with variance 1 / inputs, tables with variance 1.
inline Tensors random_tensors(const Model& model, std::uint32_t seed) {
  Tensors tensors;
  std::uint32_t number = 0;
  for (const ParameterSpec& spec : model.parameters(1, 0).stored) {
    std::size_t count = 1;
    for (const std::int64_t extent : spec.shape) count *= static_cast<std::size_t>(extent);
    const bool matrix = spec.shape.size() == 2;
    const bool table = spec.name == "embedding" || spec.name == "head";
    const bool bias = spec.name.ends_with("_bias");
    const float scale = table    ? 1.0F
                        : matrix ? 1.0F / std::sqrt(static_cast<float>(spec.shape[1]))
                        : bias   ? 0.2F
                                 : 0.4F;
    const float mean = matrix || bias || table ? 0.0F : 1.0F;
    std::vector<float>& values = tensors[spec.name];
    values.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto words = philox4x32({static_cast<std::uint32_t>(i), number, 0, 0}, {seed, 0});
      // Uniform in (-sqrt(3), sqrt(3)) has variance 1.
      values[i] = mean + scale * (unit_uniform(words[0]) * 2 - 1) * 1.7320508F;
    }
    ++number;
  }
  return tensors;
}

/// Rounds every parameter to bf16, as --param-dtype bf16 does.
inline Tensors rounded_to_bf16(Tensors tensors) {
  for (auto& [name, values] : tensors) {
    for (float& value : values) value = bf16_to_fp32(fp32_to_bf16(value));
  }
  return tensors;
}

/// Parameters that lie in memory: every unit is prepared at once and stays. No files, no ranks;
/// with tp each rank has its own and looks embeddings up in a whole table.
class MemoryParameters final : public ParameterSource {
 public:
  MemoryParameters(Backend& backend, const Model& model, const Tensors& tensors, int tp_size = 1,
                   int tp_rank = 0)
      : backend_(backend),
        stream_(backend.make_stream()),
        tensors_(tensors),
        parameters_(model.parameters(tp_size, tp_rank)) {
    for (const ParameterSpec& spec : parameters_.stored) {
      if (!tensors.contains(spec.name)) throw std::runtime_error("no tensor " + spec.name);
      columns_[spec.name] = spec.shape.back();
    }
    units_.resize(parameters_.units.size());
    for (std::size_t i = 0; i < units_.size(); ++i) prepare(parameters_.units[i], units_[i]);
    const std::vector<float>& table = tensors.at("embedding");
    const std::int64_t D = columns_.at("embedding");
    const auto V = static_cast<std::int64_t>(table.size()) / D;
    MatrixSpec whole{.name = "table",
                     .parts = {{"embedding", {0, V}, {0, D}}},
                     .shape = {.outputs = V, .inputs = D, .whole_inputs = D},
                     .fuse = Fuse::concatenate,
                     .layout = MatrixLayout::rows};
    table_ = prepare(whole);
  }

  void prefetch(UnitId unit) override { prefetched_.push_back(unit); }
  [[nodiscard]] UnitLease acquire(UnitId unit) override {
    if (++held_ > 2) throw std::logic_error("more than two units held");
    acquired_.push_back(unit);
    return {units_.at(static_cast<std::size_t>(unit)), [this] { --held_; }};
  }
  void embed(Stream& stream, std::span<const TokenId> ids, DeviceMatrix out) override {
    ++embeds_;
    backend_.embed(stream, table_, 0, ids, out);
  }

  /// What a model did with this source.
  [[nodiscard]] const std::vector<UnitId>& prefetched() const { return prefetched_; }
  [[nodiscard]] const std::vector<UnitId>& acquired() const { return acquired_; }
  [[nodiscard]] int embeds() const { return embeds_; }
  void forget() {
    prefetched_.clear();
    acquired_.clear();
    embeds_ = 0;
  }

 private:
  void prepare(const UnitSpec& spec, UnitWeights& unit) {
    for (const MatrixSpec& matrix : spec.matrices) unit.matrices.push_back(prepare(matrix));
    for (const VectorSpec& vector : spec.vectors) {
      std::vector<float> values;
      for (const VectorPart& part : vector.parts) {
        if (part.parameter.empty()) {
          values.insert(values.end(), static_cast<std::size_t>(part.elements.count), 0.0F);
          continue;
        }
        const std::vector<float>& source = tensors_.at(part.parameter);
        if (part.elements.end() > static_cast<std::int64_t>(source.size())) {
          throw std::runtime_error("part of " + part.parameter + " beyond its end");
        }
        values.insert(values.end(), source.begin() + part.elements.first,
                      source.begin() + part.elements.end());
      }
      const std::byte* data = store(std::as_bytes(std::span(values)));
      unit.vectors.push_back(
          {reinterpret_cast<const float*>(data), static_cast<std::int64_t>(values.size())});
    }
  }

  Weight prepare(const MatrixSpec& matrix) {
    const std::int64_t width = matrix.layout == MatrixLayout::rows ? 1 : backend_.panel_outputs();
    const std::int64_t panels = panel_count(matrix, width);
    const std::size_t panel_bytes = backend_.panel_bytes(matrix.shape, matrix.layout);
    std::vector<std::byte> packed(static_cast<std::size_t>(panels) * panel_bytes);
    for (std::int64_t panel = 0; panel < panels; ++panel) {
      std::vector<const std::byte*> lanes(static_cast<std::size_t>(width), nullptr);
      for (const PanelSource& source : panel_sources(matrix, width, panel)) {
        const MatrixPart& part = matrix.parts[source.part];
        const std::vector<float>& values = tensors_.at(part.parameter);
        for (std::int64_t i = 0; i < source.rows.count; ++i) {
          const std::int64_t first =
              (source.rows.first + i) * columns_.at(part.parameter) + part.columns.first;
          lanes[static_cast<std::size_t>(source.lane + i)] =
              reinterpret_cast<const std::byte*>(values.data() + first);
        }
      }
      backend_.pack_panel(
          matrix.shape, matrix.layout, DType::fp32, lanes,
          std::span(packed).subspan(static_cast<std::size_t>(panel) * panel_bytes, panel_bytes));
    }
    Weight weight{.shape = matrix.shape,
                  .fuse = matrix.fuse,
                  .layout = matrix.layout,
                  .panel_bytes = panel_bytes,
                  .runs = {}};
    if (panels > 0) weight.runs.push_back({0, panels, store(packed)});
    return weight;
  }

  const std::byte* store(std::span<const std::byte> bytes) {
    buffers_.push_back(backend_.allocate(std::max<std::size_t>(bytes.size(), 64)));
    backend_.upload(*stream_, bytes, buffers_.back().data());
    stream_->synchronize();
    return buffers_.back().data();
  }

  Backend& backend_;
  std::unique_ptr<Stream> stream_;
  const Tensors& tensors_;
  ModelParameters parameters_;
  std::map<std::string, std::int64_t> columns_;
  std::vector<Buffer> buffers_;
  std::vector<UnitWeights> units_;
  Weight table_;
  int held_ = 0;
  int embeds_ = 0;
  std::vector<UnitId> prefetched_;
  std::vector<UnitId> acquired_;
};

}  // namespace gridmill::test
