#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/grid/mpi_handles.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/shape.hpp"
#include "gridmill/params/weight.hpp"

namespace gridmill::checkpoint_detail {

/// Token rows of a table that is spread over tp ranks (by vocabulary_slice) and perhaps over fsdp
/// ranks (by panels). Rows travel, the table stays.
class EmbeddingLookup {
 public:
  struct Table {
    Weight weight;   ///< what this rank holds
    IndexRange ids;  ///< of this tp rank, wherever they lie in the fsdp group
    std::int64_t panel_width = 1;
    /// Panels of each fsdp shard; one entry if every rank of the fsdp group holds all of `ids`.
    std::vector<IndexRange> shards;
  };
  /// Collective over `tp`.
  EmbeddingLookup(Table table, const Communicator& tp, const Communicator& fsdp, Backend& backend);

  /// As ParameterSource::embed.
  void embed(Stream& stream, std::span<const TokenId> ids, DeviceMatrix out);
  [[nodiscard]] std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  [[nodiscard]] std::size_t tp_owner(TokenId id) const;
  [[nodiscard]] std::size_t fsdp_owner(TokenId id) const;
  [[nodiscard]] std::vector<float> rows_of(Stream& stream, std::span<const TokenId> held);
  [[nodiscard]] std::vector<float> rows_over_fsdp(Stream& stream, std::span<const TokenId> ids);
  void store(Stream& stream, std::span<const float> rows, DeviceMatrix out);

  Table table_;
  std::vector<IndexRange> tp_ids_;  ///< of every tp rank
  const Communicator& tp_;
  const Communicator& fsdp_;
  Backend& backend_;
  Buffer device_rows_;
  std::uint64_t bytes_received_ = 0;
};

}  // namespace gridmill::checkpoint_detail
