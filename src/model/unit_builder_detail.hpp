#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/weight.hpp"
#include "model/tensor_parallel_detail.hpp"

namespace gridmill::model_detail {

/// Index of a matrix or vector of a unit; -1 where a model has none.
using PartIndex = int;

/// Assembles one unit for one tp rank. The order of calls is the order in the unit, the same for
/// every tp size, so that indices found once hold for all.
class UnitBuilder {
 public:
  UnitBuilder(std::string name, TensorParallel tp) : tp_(tp) { unit_.name = std::move(name); }

  /// Column-parallel: all inputs, some outputs; parts are stacked along the outputs.
  PartIndex matrix(const std::string& name, std::vector<MatrixPart> parts, std::int64_t inputs,
                   Fuse fuse = Fuse::concatenate, MatrixLayout layout = MatrixLayout::panels);
  /// Row-parallel: all outputs, this rank's blocks of the inputs.
  PartIndex row_parallel(const std::string& name, const std::string& parameter,
                         std::int64_t outputs, std::int64_t inputs);
  PartIndex vector(const std::string& name, std::vector<VectorPart> parts);
  /// A vector that every rank holds as a whole.
  PartIndex whole_vector(const std::string& parameter, std::int64_t size);

  [[nodiscard]] UnitSpec take() { return std::move(unit_); }

 private:
  UnitSpec unit_;
  TensorParallel tp_;
};

/// The whole width of a matrix, for MatrixPart::columns.
[[nodiscard]] constexpr IndexRange all_of(std::int64_t count) { return {0, count}; }

/// Vector `index` of a unit; empty for -1.
[[nodiscard]] ConstDeviceVector vector_or_none(const UnitWeights& weights, PartIndex index);

}  // namespace gridmill::model_detail
