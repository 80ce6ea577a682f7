#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "gridmill/checkpoint/parameter_store.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill::test {

/// A made-up model with every kind of matrix and vector that a model may ask for: fused and
/// interleaved parts, row-parallel column slices, replicated parts, a missing bias, a table that is
/// its own or the head's, bf16 and fp32 side by side.
class ParameterModel {
 public:
  static constexpr std::int64_t kVocabulary = 300;
  static constexpr std::int64_t kWidth = 24;
  static constexpr std::int64_t kFeedForward = 72;
  static constexpr int kLayers = 3;

  explicit ParameterModel(bool tied);

  /// Writes the checkpoint to `path`.
  void write(const std::string& path) const;
  [[nodiscard]] ModelParameters parameters(int tp_size, int tp_rank) const;
  /// Stored value of a parameter after the cast.
  [[nodiscard]] float value(const std::string& name, std::int64_t row, std::int64_t column,
                            ParameterDType cast) const;
  /// What embed() must give for one id: the row in the compute dtype.
  [[nodiscard]] std::vector<float> embedding_row(TokenId id, ParameterDType cast,
                                                 DType compute) const;
  /// Panels of `matrix` one after the other, packed from single values.
  [[nodiscard]] std::vector<std::byte> packed(const MatrixSpec& matrix, const Backend& backend,
                                              ParameterDType cast) const;
  [[nodiscard]] std::vector<float> vector_values(const VectorSpec& vector,
                                                 ParameterDType cast) const;

 private:
  struct Stored {
    ParameterSpec spec;
    DType dtype = DType::fp32;
    std::vector<float> values;
  };
  void add(const std::string& name, std::vector<std::int64_t> shape, DType dtype);
  [[nodiscard]] const Stored& find(const std::string& name) const;

  bool tied_;
  std::vector<Stored> stored_;
};

}  // namespace gridmill::test
