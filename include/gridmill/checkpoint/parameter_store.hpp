#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/grid/grid.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/parameter_source.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill {

/// Type that every parameter is cast to, once, before any other step.
enum class ParameterDType : std::uint8_t { checkpoint, bf16, fp32 };
/// @throws UsageError for a name that is none of checkpoint, bf16, fp32.
[[nodiscard]] ParameterDType parameter_dtype_from_name(std::string_view name);

/// The dtype that most bytes of the parameters of a checkpoint have after the cast: what compute
/// dtype `auto` follows.
[[nodiscard]] DType dominant_dtype(std::span<const StoredParameter> stored, ParameterDType cast);

/// Whether there are matrices in codes that are used as such: `cast` leaves them as they are.
[[nodiscard]] bool has_codes(std::span<const StoredParameter> stored, ParameterDType cast);

/// `parameters` with the format of each matrix whose stored parts `backend` multiplies as they are;
/// matrices of other formats, or of several, are dequantised when they are packed.
[[nodiscard]] ModelParameters with_stored_formats(ModelParameters parameters,
                                                  std::span<const StoredParameter> stored,
                                                  const Backend& backend, ParameterDType cast);

struct ParameterOptions {
  /// Keep whole parameters of the tp rank (one copy a node where the backend's memory is the
  /// host's); otherwise a shard, and each unit is gathered when it is used.
  bool gather_once = false;
  std::int64_t fsdp_min_weight_size = 16384;  ///< parameters of at most so many elements stay whole
  ParameterDType dtype = ParameterDType::checkpoint;
  int threads = 1;  ///< that read and pack
  /// On a device: of each of the two buffers of the host through which parameters get there.
  std::size_t staging_bytes = std::size_t{64} << 20;
  /// Gathers units between devices (e.g. NCCL) over the fsdp group; nullptr = MPI through the host.
  /// Used by backends without host memory only. Must outlive the source.
  Exchange* device_exchange = nullptr;
};

struct ParameterStatistics {
  std::uint64_t checkpoint_bytes = 0;  ///< of all parameters in the file
  std::uint64_t bytes_read = 0;        ///< of parameters, by this rank
  std::uint64_t bytes_received = 0;    ///< of parameters and embedding rows, from other ranks
  std::uint64_t private_bytes = 0;     ///< memory of this rank alone: shard and gathered units
  std::uint64_t shared_bytes = 0;      ///< memory shared with other ranks of the node
};

/// Parameters of one tp rank, out of a checkpoint. See docs/parallelism.md.
class CheckpointParameters final : public ParameterSource {
 public:
  struct Impl;
  explicit CheckpointParameters(std::unique_ptr<Impl> impl);
  ~CheckpointParameters() override;

  void prefetch(UnitId unit) override;
  [[nodiscard]] UnitLease acquire(UnitId unit) override;
  void embed(Stream& stream, std::span<const TokenId> ids, DeviceMatrix out) override;

  [[nodiscard]] ParameterStatistics statistics() const;
  /// Hash of the prepared bytes that this rank holds between passes: its shard, or all of its tp
  /// slice. Of more than 64 MiB it takes evenly spaced pages, so that a report costs no second
  /// pass.
  [[nodiscard]] std::string held_hash() const;

 private:
  std::unique_ptr<Impl> impl_;
};

/// Reads this rank's part of `file`, prepares it for `backend`, and gathers it once if asked. With
/// one fsdp shard there is nothing to gather, and host memory is shared by the node in any case.
/// Collective over grid.world(). `grid`, `backend` and `stream` (the one that computes) must
/// outlive the source; `file` need not.
/// @throws the same on every rank: FormatError if the file lacks what `parameters` need,
/// ResourceError without enough memory, IoError.
[[nodiscard]] std::unique_ptr<CheckpointParameters> make_parameter_source(
    const CheckpointFile& file, const ModelParameters& parameters, Grid& grid, Backend& backend,
    Stream& stream, const ParameterOptions& options);

}  // namespace gridmill
