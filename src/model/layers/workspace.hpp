#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/kernels/backend.hpp"

namespace gridmill::model_detail {

/// Content of a piece of scratch memory; one buffer each.
enum class Scratch : std::uint8_t {
  residual,       ///< [rows, D]
  normed_beside,  ///< the same of blocks beside the first one
  normed,         ///< packed input of the projections or the feed-forward
  projected,      ///< q|k|v or the mLSTM inputs
  mixed,          ///< packed output of attention or mLSTM cell
  hidden,         ///< packed hidden units of the feed-forward
  block_output,   ///< [rows, D], for a norm behind a block
  partial,        ///< this rank's part of a row-parallel product
  parts,          ///< the parts of all tp ranks
  head_input,     ///< packed rows of the head
  head_rows,      ///< wanted rows, where no norm gathers them
  head_bias,      ///< where a scale applies to it
  head_output,    ///< logits or SelectPartials
  head_gathered,  ///< SelectPartials of all tp ranks
  kept_logits,    ///< of rows with filters or penalties
  block_keys,
  rule_logits,
  filter_results,   ///< of a pass over kept logits
  filter_gathered,  ///< those of all tp ranks
  activated,
  convolved,
  cell_output,
  cell_input,     ///< older mLSTM layer
  expert_input,   ///< [rows, D] that a router sees, in fp32
  router,         ///< its products
  expert_rows,    ///< packed rows, sorted by expert
  expert_hidden,  ///< packed hidden units of the experts
  shared_hidden,  ///< those of the shared expert
  expert_blocks,  ///< weighted sums of the experts, block by block
  count
};

/// Scratch memory of one model on one rank, in backend memory. Buffers only grow, so that the
/// steady state allocates nothing. The content does not outlive a pass.
class Workspace {
 public:
  explicit Workspace(Backend& backend) : backend_(&backend) {}

  [[nodiscard]] std::byte* bytes(Stream& stream, Scratch what, std::size_t size_bytes);
  [[nodiscard]] DeviceMatrix matrix(Stream& stream, Scratch what, std::int64_t rows,
                                    std::int64_t columns);
  [[nodiscard]] PackedRows packed(Stream& stream, Scratch what, std::int64_t rows,
                                  std::int64_t inputs);

 private:
  Backend* backend_;
  std::array<Buffer, static_cast<std::size_t>(Scratch::count)> buffers_;
};

}  // namespace gridmill::model_detail
