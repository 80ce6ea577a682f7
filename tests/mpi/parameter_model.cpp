#include "mpi/parameter_model.hpp"

#include <cstring>
#include <stdexcept>

#include "gridmill/base/philox.hpp"
#include "gridmill/checkpoint/checkpoint_writer.hpp"

namespace gridmill::test {

namespace {
std::string layer_name(int layer, const std::string& name) {
  return "layers." + std::to_string(layer) + "." + name;
}
}  // namespace

ParameterModel::ParameterModel(bool tied) : tied_(tied) {
  add("embedding", {kVocabulary, kWidth}, DType::bf16);
  for (int layer = 0; layer < kLayers; ++layer) {
    add(layer_name(layer, "norm"), {kWidth}, DType::fp32);
    add(layer_name(layer, "q"), {64, kWidth}, DType::bf16);
    add(layer_name(layer, "k"), {16, kWidth}, DType::fp32);
    add(layer_name(layer, "q_bias"), {64}, DType::bf16);
    add(layer_name(layer, "gate"), {kFeedForward, kWidth}, DType::bf16);
    add(layer_name(layer, "up"), {kFeedForward, kWidth}, DType::bf16);
    add(layer_name(layer, "down"), {kWidth, kFeedForward}, DType::fp32);
    add(layer_name(layer, "blocks"), {8, 4, 6}, DType::fp32);
  }
  if (!tied) add("head", {kVocabulary, kWidth}, DType::fp32);
}

void ParameterModel::add(const std::string& name, std::vector<std::int64_t> shape, DType dtype) {
  Stored& stored = stored_.emplace_back(Stored{{name, std::move(shape)}, dtype, {}});
  std::size_t count = 1;
  for (const std::int64_t extent : stored.spec.shape) count *= static_cast<std::size_t>(extent);
  const auto number = static_cast<std::uint32_t>(stored_.size());
  for (std::size_t i = 0; i < count; ++i) {
    const auto words = philox4x32({static_cast<std::uint32_t>(i), number, 0, 0}, {7, 0});
    const float value = unit_uniform(words[0]) * 2 - 1;
    stored.values.push_back(dtype == DType::bf16 ? bf16_to_fp32(fp32_to_bf16(value)) : value);
  }
}

const ParameterModel::Stored& ParameterModel::find(const std::string& name) const {
  for (const Stored& stored : stored_) {
    if (stored.spec.name == name) return stored;
  }
  throw std::runtime_error("no parameter " + name);
}

void ParameterModel::write(const std::string& path) const {
  CheckpointDescription description;
  description.model = {{"family", "made-up"}};
  for (const Stored& stored : stored_) {
    description.parameters.push_back({stored.spec, stored.dtype});
  }
  CheckpointWriter writer(path, description);
  for (const Stored& stored : stored_) {
    if (stored.dtype == DType::fp32) {
      writer.append(stored.spec.name, std::as_bytes(std::span(stored.values)));
      continue;
    }
    std::vector<Bf16> halves;
    for (const float value : stored.values) halves.push_back(fp32_to_bf16(value));
    writer.append(stored.spec.name, std::as_bytes(std::span(halves)));
  }
  writer.finish();
}

ModelParameters ParameterModel::parameters(int tp_size, int tp_rank) const {
  ModelParameters parameters;
  for (const Stored& stored : stored_) parameters.stored.push_back(stored.spec);
  const IndexRange columns{0, kWidth};
  const IndexRange ids = vocabulary_slice(kVocabulary, tp_size, tp_rank);
  const auto whole_inputs = [](std::int64_t outputs) {
    return MatrixShape{.outputs = outputs, .inputs = kWidth, .whole_inputs = kWidth};
  };
  parameters.embedding_ids = ids;
  if (!tied_) {
    UnitSpec& table = parameters.units.emplace_back();
    table.name = "embedding";
    table.matrices.push_back({.name = "table",
                              .parts = {{"embedding", ids, columns}},
                              .shape = whole_inputs(ids.count),
                              .layout = MatrixLayout::rows});
  }
  const IndexRange hidden = reduction_slice(kFeedForward, tp_size, tp_rank);
  for (int layer = 0; layer < kLayers; ++layer) {
    const auto name = [&](const std::string& of) { return layer_name(layer, of); };
    UnitSpec& unit = parameters.units.emplace_back();
    unit.name = "layers." + std::to_string(layer);
    const std::int64_t width = 64 / tp_size;
    const IndexRange q{width * tp_rank, width};
    const IndexRange k{0, 16};  // replicated, as key-value heads may be
    unit.matrices.push_back({.name = "qk",
                             .parts = {{name("q"), q, columns}, {name("k"), k, columns}},
                             .shape = whole_inputs(q.count + k.count)});
    unit.matrices.push_back(
        {.name = "gate_up",
         .parts = {{name("gate"), hidden, columns}, {name("up"), hidden, columns}},
         .shape = whole_inputs(2 * hidden.count),
         .fuse = Fuse::interleave});
    unit.matrices.push_back({.name = "down",
                             .parts = {{name("down"), {0, kWidth}, hidden}},
                             .shape = {.outputs = kWidth,
                                       .inputs = hidden.count,
                                       .row_parallel = true,
                                       .whole_inputs = kFeedForward,
                                       .first_input = hidden.first}});
    unit.vectors.push_back({"norm", {{name("norm"), {0, kWidth}}}});
    unit.vectors.push_back({"qk_bias", {{name("q_bias"), q}, {"", {0, k.count}}}});
    unit.vectors.push_back({"none", {}});
    unit.vectors.push_back({"blocks", {{name("blocks"), {24, 100}}}});
  }
  UnitSpec& head = parameters.units.emplace_back();
  head.name = "head";
  head.matrices.push_back({.name = "head",
                           .parts = {{tied_ ? "embedding" : "head", ids, columns}},
                           .shape = whole_inputs(ids.count)});
  parameters.embedding_unit = tied_ ? static_cast<UnitId>(parameters.units.size()) - 1 : UnitId{0};
  return parameters;
}

float ParameterModel::value(const std::string& name, std::int64_t row, std::int64_t column,
                            ParameterDType cast) const {
  const Stored& stored = find(name);
  const std::int64_t columns = stored.spec.shape.size() == 1 ? 1 : stored.spec.shape.back();
  const float value = stored.values.at(static_cast<std::size_t>(row * columns + column));
  return cast == ParameterDType::bf16 ? bf16_to_fp32(fp32_to_bf16(value)) : value;
}

std::vector<float> ParameterModel::embedding_row(TokenId id, ParameterDType cast,
                                                 DType compute) const {
  std::vector<float> row;
  for (std::int64_t column = 0; column < kWidth; ++column) {
    const float element = value("embedding", id, column, cast);
    row.push_back(compute == DType::bf16 ? bf16_to_fp32(fp32_to_bf16(element)) : element);
  }
  return row;
}

std::vector<std::byte> ParameterModel::packed(const MatrixSpec& matrix, const Backend& backend,
                                              ParameterDType cast) const {
  // Every output's row, in the order of lanes: panels of `width`, from each part in turn if
  // interleaved.
  const bool rows = matrix.layout == MatrixLayout::rows;
  const std::int64_t width = rows ? 1 : backend.panel_outputs();
  struct Lane {
    const MatrixPart* part = nullptr;
    std::int64_t row = -1;
  };
  std::vector<Lane> lanes;
  if (matrix.fuse == Fuse::interleave) {
    for (std::int64_t first = 0; first < matrix.parts[0].rows.count; first += width) {
      for (const MatrixPart& part : matrix.parts) {
        for (std::int64_t lane = first; lane < first + width; ++lane) {
          lanes.push_back(lane < part.rows.count ? Lane{&part, part.rows.first + lane} : Lane{});
        }
      }
    }
  } else {
    for (const MatrixPart& part : matrix.parts) {
      for (std::int64_t row = 0; row < part.rows.count; ++row) {
        lanes.push_back({&part, part.rows.first + row});
      }
    }
    while (lanes.size() % static_cast<std::size_t>(width) != 0) lanes.emplace_back();
  }
  const std::size_t panel_bytes = backend.panel_bytes(matrix.shape, matrix.layout);
  std::vector<std::byte> out(lanes.size() / static_cast<std::size_t>(width) * panel_bytes);
  for (std::size_t first = 0; first < lanes.size(); first += static_cast<std::size_t>(width)) {
    std::vector<std::vector<float>> values;
    std::vector<const std::byte*> pointers;
    for (std::size_t lane = first; lane < first + static_cast<std::size_t>(width); ++lane) {
      std::vector<float>& row = values.emplace_back();
      if (lanes[lane].part == nullptr) {
        pointers.push_back(nullptr);
        continue;
      }
      const MatrixPart& part = *lanes[lane].part;
      for (std::int64_t column = 0; column < part.columns.count; ++column) {
        row.push_back(value(part.parameter, lanes[lane].row, part.columns.first + column, cast));
      }
      pointers.push_back(reinterpret_cast<const std::byte*>(row.data()));
    }
    backend.pack_panel(
        matrix.shape, matrix.layout, DType::fp32, pointers,
        std::span(out).subspan(first / static_cast<std::size_t>(width) * panel_bytes, panel_bytes));
  }
  return out;
}

std::vector<float> ParameterModel::vector_values(const VectorSpec& vector,
                                                 ParameterDType cast) const {
  std::vector<float> values;
  for (const VectorPart& part : vector.parts) {
    for (std::int64_t element = part.elements.first; element < part.elements.end(); ++element) {
      if (part.parameter.empty()) {
        values.push_back(0);
        continue;
      }
      const float stored = find(part.parameter).values.at(static_cast<std::size_t>(element));
      values.push_back(cast == ParameterDType::bf16 ? bf16_to_fp32(fp32_to_bf16(stored)) : stored);
    }
  }
  return values;
}

}  // namespace gridmill::test
