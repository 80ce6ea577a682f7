#include "model/layout/unit_builder.hpp"

#include <algorithm>
#include <utility>

namespace gridmill::model_detail {

UnitBuilder::UnitBuilder(std::string name, std::string prefix, TensorParallel tp,
                         std::vector<ParameterSpec>& stored)
    : prefix_(std::move(prefix)), tp_(tp), stored_(stored) {
  unit_.name = std::move(name);
}

PartIndex UnitBuilder::add(MatrixSpec matrix) {
  unit_.matrices.push_back(std::move(matrix));
  return static_cast<PartIndex>(unit_.matrices.size()) - 1;
}

LinearParts UnitBuilder::matrix(const std::string& name, const std::vector<StoredRows>& parts,
                                std::int64_t inputs, Fuse fuse) {
  return matrix(name, parts, inputs, fuse, false);
}

LinearParts UnitBuilder::biased_matrix(const std::string& name,
                                       const std::vector<StoredRows>& parts, std::int64_t inputs) {
  return matrix(name, parts, inputs, Fuse::concatenate, true);
}

LinearParts UnitBuilder::matrix(const std::string& name, const std::vector<StoredRows>& parts,
                                std::int64_t inputs, Fuse fuse, bool any_bias) {
  MatrixSpec spec{.name = prefix_ + name, .parts = {}, .shape = {}, .fuse = fuse};
  VectorSpec biases{.name = prefix_ + name + "_bias", .parts = {}};
  for (const StoredRows& part : parts) {
    const std::string parameter = prefix_ + part.name;
    stored_.push_back({parameter, {part.outputs, inputs}});
    spec.parts.push_back({parameter, part.rows, all_of(inputs)});
    spec.shape.outputs += part.rows.count;
    if (part.bias) {
      stored_.push_back({parameter + "_bias", {part.outputs}});
      biases.parts.push_back({parameter + "_bias", part.rows});
    } else {
      biases.parts.push_back({"", {0, part.rows.count}});
    }
    any_bias = any_bias || part.bias;
  }
  spec.shape.inputs = inputs;
  spec.shape.whole_inputs = inputs;
  LinearParts found{.weight = add(std::move(spec))};
  if (any_bias) {
    unit_.vectors.push_back(std::move(biases));
    found.bias = static_cast<PartIndex>(unit_.vectors.size()) - 1;
  }
  return found;
}

PartIndex UnitBuilder::tied_matrix(const std::string& name, const MatrixPart& part,
                                   std::int64_t inputs) {
  return add({.name = prefix_ + name,
              .parts = {part},
              .shape = {.outputs = part.rows.count, .inputs = inputs, .whole_inputs = inputs}});
}

LinearParts UnitBuilder::row_parallel(const std::string& name, std::int64_t outputs,
                                      std::int64_t inputs, bool bias) {
  const std::string parameter = prefix_ + name;
  const IndexRange columns = reduction_slice(inputs, tp_.size, tp_.rank);
  stored_.push_back({parameter, {outputs, inputs}});
  LinearParts found{.weight = add({.name = parameter,
                                   .parts = {{parameter, all_of(outputs), columns}},
                                   .shape = {.outputs = outputs,
                                             .inputs = columns.count,
                                             .row_parallel = true,
                                             .whole_inputs = inputs,
                                             .first_input = columns.first}})};
  if (bias) found.bias = whole_vector(name + "_bias", outputs);
  return found;
}

PartIndex UnitBuilder::table(const std::string& name, std::int64_t outputs, IndexRange rows,
                             std::int64_t inputs) {
  const std::string parameter = prefix_ + name;
  stored_.push_back({parameter, {outputs, inputs}});
  return add({.name = parameter,
              .parts = {{parameter, rows, all_of(inputs)}},
              .shape = {.outputs = rows.count, .inputs = inputs, .whole_inputs = inputs},
              .layout = MatrixLayout::rows});
}

PartIndex UnitBuilder::vector(const StoredVector& vector) {
  const std::string parameter = prefix_ + vector.name;
  stored_.push_back({parameter, {vector.size}});
  unit_.vectors.push_back({parameter, {{parameter, vector.held}}});
  return static_cast<PartIndex>(unit_.vectors.size()) - 1;
}

PartIndex UnitBuilder::pieces_of_vector(const std::string& name, std::int64_t size,
                                        const std::vector<IndexRange>& held) {
  const std::string parameter = prefix_ + name;
  stored_.push_back({parameter, {size}});
  VectorSpec vector{.name = parameter, .parts = {}};
  for (const IndexRange& range : held) vector.parts.push_back({parameter, range});
  unit_.vectors.push_back(std::move(vector));
  return static_cast<PartIndex>(unit_.vectors.size()) - 1;
}

NormParts UnitBuilder::norm(const StoredVector& weight, bool bias) {
  NormParts found{.weight = vector(weight)};
  if (bias) found.bias = vector({weight.name + "_bias", weight.size, weight.held});
  return found;
}

ConstDeviceVector vector_or_none(const UnitWeights& weights, PartIndex index) {
  return index < 0 ? ConstDeviceVector{} : weights.vectors.at(static_cast<std::size_t>(index));
}

}  // namespace gridmill::model_detail
