#include <utility>

#include "model/unit_builder_detail.hpp"

namespace gridmill::model_detail {

PartIndex UnitBuilder::matrix(const std::string& name, std::vector<MatrixPart> parts,
                              std::int64_t inputs, Fuse fuse, MatrixLayout layout) {
  MatrixSpec spec;
  spec.name = name;
  for (const MatrixPart& part : parts) spec.shape.outputs += part.rows.count;
  spec.shape.inputs = inputs;
  spec.shape.whole_inputs = inputs;
  spec.parts = std::move(parts);
  spec.fuse = fuse;
  spec.layout = layout;
  unit_.matrices.push_back(std::move(spec));
  return static_cast<PartIndex>(unit_.matrices.size()) - 1;
}

PartIndex UnitBuilder::row_parallel(const std::string& name, const std::string& parameter,
                                    std::int64_t outputs, std::int64_t inputs) {
  const IndexRange columns = reduction_slice(inputs, tp_.size, tp_.rank);
  MatrixSpec spec;
  spec.name = name;
  spec.parts = {{parameter, all_of(outputs), columns}};
  spec.shape = {.outputs = outputs,
                .inputs = columns.count,
                .row_parallel = true,
                .whole_inputs = inputs,
                .first_input = columns.first};
  unit_.matrices.push_back(std::move(spec));
  return static_cast<PartIndex>(unit_.matrices.size()) - 1;
}

PartIndex UnitBuilder::vector(const std::string& name, std::vector<VectorPart> parts) {
  unit_.vectors.push_back({name, std::move(parts)});
  return static_cast<PartIndex>(unit_.vectors.size()) - 1;
}

PartIndex UnitBuilder::whole_vector(const std::string& parameter, std::int64_t size) {
  return vector(parameter, {{parameter, all_of(size)}});
}

ConstDeviceVector vector_or_none(const UnitWeights& weights, PartIndex index) {
  return index < 0 ? ConstDeviceVector{} : weights.vectors.at(static_cast<std::size_t>(index));
}

}  // namespace gridmill::model_detail
