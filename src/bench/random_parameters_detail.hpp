#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gridmill/kernels/backend.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_source.hpp"

namespace gridmill::bench_detail {

/// Random parameters of a model, made in the backend's own memory: norm weights 1, everything else
/// uniform around 0 with a standard deviation of 0.02, the same every time. One rank, no files.
class RandomParameters final : public ParameterSource {
 public:
  /// @throws ResourceError if they do not fit.
  RandomParameters(const Model& model, Backend& backend, Stream& stream);

  void prefetch(UnitId /*unit*/) override {}
  [[nodiscard]] UnitLease acquire(UnitId unit) override;
  void embed(Stream& stream, std::span<const TokenId> ids, DeviceMatrix out) override;

  [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }

 private:
  [[nodiscard]] Weight make_weight(const MatrixSpec& spec, Stream& stream);
  [[nodiscard]] ConstDeviceVector make_vector(const VectorSpec& spec, Stream& stream);
  [[nodiscard]] std::byte* take_memory(std::size_t size_bytes);

  Backend& backend_;
  UnitId embedding_unit_;
  std::int64_t first_embedding_id_;
  std::vector<Buffer> memory_;
  std::size_t size_bytes_ = 0;
  std::uint64_t seed_ = 0;
  std::vector<UnitWeights> units_;
};

}  // namespace gridmill::bench_detail
