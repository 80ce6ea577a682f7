#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/weight.hpp"
#include "model/layout/tensor_parallel.hpp"

namespace gridmill::model_detail {

/// Index of a matrix or vector of a unit; -1 where a model has none.
using PartIndex = int;

/// Where a matrix and its bias are in their unit.
struct LinearParts {
  PartIndex weight = -1;
  PartIndex bias = -1;
};
struct NormParts {
  PartIndex weight = -1;
  PartIndex bias = -1;
};

/// One stored matrix (out, in) and the rows of it that this tp rank holds.
struct StoredRows {
  std::string name;
  std::int64_t outputs = 0;
  IndexRange rows;
  bool bias = false;
};

/// One stored vector and the elements of it that this tp rank holds.
struct StoredVector {
  std::string name;
  std::int64_t size = 0;
  IndexRange held;
};

/// The whole width of a matrix or vector.
[[nodiscard]] constexpr IndexRange all_of(std::int64_t count) { return {0, count}; }

/// Assembles one unit for one tp rank, and lists the parameters that it is made of as the
/// checkpoint stores them. The order of calls is the order in the unit, the same for every tp
/// size, so that indices found once hold for all.
class UnitBuilder {
 public:
  /// @param prefix  of the names of parameters, e.g. "layers.3."
  UnitBuilder(std::string name, std::string prefix, TensorParallel tp,
              std::vector<ParameterSpec>& stored);

  /// Column-parallel: matrices of `inputs` inputs stacked along their outputs, and a vector of
  /// their biases `<name>_bias`, if one of them has one; zeros stand for the others. A bias of
  /// zeros is not the same as none: it makes +0 of a -0.
  LinearParts matrix(const std::string& name, const std::vector<StoredRows>& parts,
                     std::int64_t inputs, Fuse fuse = Fuse::concatenate);
  /// The same with a vector of biases in any case, maybe of zeros alone.
  LinearParts biased_matrix(const std::string& name, const std::vector<StoredRows>& parts,
                            std::int64_t inputs);
  /// The same for rows of a parameter that another unit has listed.
  PartIndex tied_matrix(const std::string& name, const MatrixPart& part, std::int64_t inputs);
  /// Row-parallel: all outputs, this rank's blocks of the inputs. The bias is whole.
  LinearParts row_parallel(const std::string& name, std::int64_t outputs, std::int64_t inputs,
                           bool bias);
  /// Plain rows, to be looked up.
  PartIndex table(const std::string& name, std::int64_t outputs, IndexRange rows,
                  std::int64_t inputs);
  PartIndex vector(const StoredVector& vector);
  /// Pieces of one stored vector, one behind the other.
  PartIndex pieces_of_vector(const std::string& name, std::int64_t size,
                             const std::vector<IndexRange>& held);
  /// A vector that every rank holds as a whole.
  PartIndex whole_vector(const std::string& name, std::int64_t size) {
    return vector({name, size, all_of(size)});
  }
  /// A weight, and `<name>_bias` held likewise.
  NormParts norm(const StoredVector& weight, bool bias);
  /// A norm of the residual stream.
  NormParts norm(const std::string& name, std::int64_t size, bool bias) {
    return norm({name, size, all_of(size)}, bias);
  }

  [[nodiscard]] UnitSpec take() { return std::move(unit_); }

 private:
  LinearParts matrix(const std::string& name, const std::vector<StoredRows>& parts,
                     std::int64_t inputs, Fuse fuse, bool any_bias);
  PartIndex add(MatrixSpec matrix);

  UnitSpec unit_;
  std::string prefix_;
  TensorParallel tp_;
  std::vector<ParameterSpec>& stored_;
};

/// Vector `index` of a unit; empty for -1.
[[nodiscard]] ConstDeviceVector vector_or_none(const UnitWeights& weights, PartIndex index);

}  // namespace gridmill::model_detail
