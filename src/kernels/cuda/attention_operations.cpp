#include <algorithm>
#include <string>
#include <vector>

#include "gridmill/base/check.hpp"
#include "gridmill/base/error.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/kv_cache.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::cuda {

namespace {

/// Partial sums of attention that are kept at a time.
constexpr std::size_t kMostPartialBytes = std::size_t{64} << 20;
/// Tokens of a span from which on they share what is read of the cache.
constexpr std::int64_t kLeastTileTokens = 4;

struct Pieces {
  std::vector<AttendPiece> alone;
  std::vector<AttendPiece> tiles;
};

/// Rows [first, first + count) of the batch as thread blocks take them.
Pieces pieces_of(std::span<const TokenSpan> spans, const Attention& attention, std::int64_t first,
                 std::int64_t count) {
  const std::int64_t most = attention_tile(attention);
  Pieces pieces;
  for (const TokenSpan& span : spans) {
    const std::int64_t end = std::min<std::int64_t>(span.row + span.tokens, first + count);
    for (std::int64_t row = std::max<std::int64_t>(span.row, first); row < end;) {
      const bool tiled = span.tokens >= kLeastTileTokens;
      const std::int64_t rows = tiled ? std::min(most, end - row) : 1;
      (tiled ? pieces.tiles : pieces.alone)
          .push_back({.slot = span.slot,
                      .position = static_cast<std::int32_t>(span.position + row - span.row),
                      .row = static_cast<std::int32_t>(row),
                      .rows = static_cast<std::int32_t>(rows)});
      row += rows;
    }
  }
  return pieces;
}

}  // namespace

void CudaBackend::attend(Stream& stream, std::span<const TokenSpan> spans,
                         const Attention& attention, int layer, DeviceMatrix qkv, KvCache& cache,
                         PackedRows out) {
  auto* slots = dynamic_cast<CudaKvCache*>(&cache);
  GRIDMILL_ASSERT(slots != nullptr, "the cache belongs to another backend");
  kernels_detail::check_attention(attention, qkv, slots->shape(), out);
  kernels_detail::check_spans(spans, qkv.rows);
  if (attention.output_gate) {
    throw ResourceError(
        "the cuda backend does not run attention with output_gate; use --backend cpu");
  }
  if (attention.head_dim > kMostHeadDim || attention.head_dim % 2 != 0) {
    throw ResourceError("the cuda backend runs heads of an even width up to " +
                        std::to_string(kMostHeadDim) + "; use --backend cpu");
  }
  std::vector<RowPlace> places(static_cast<std::size_t>(qkv.rows), RowPlace{-1, 0, 0});
  int splits = 1;
  for (const TokenSpan& span : spans) {
    kernels_detail::check_positions(span, attention);
    slots->grow(span.slot, span.position + span.tokens);
    for (std::int32_t t = 0; t < span.tokens; ++t) {
      places[static_cast<std::size_t>(span.row + t)] = {span.slot, span.position + t,
                                                        span.long_row ? 1 : 0};
      splits = std::max(splits, attention_splits(span.position + t, attention.window));
    }
  }
  if (qkv.rows == 0) return;
  auto& on = dynamic_cast<CudaStream&>(stream);
  AttendArgs args;
  args.attention = attention;
  args.layer = layer;
  args.qkv = qkv;
  if (layer == 0) on.flush();  // before pages, which go up now and then
  args.places = on.stage(std::span<const RowPlace>(places));
  args.pages = slots->pages(on);
  args.out = out;
  args.splits = splits;
  launch_rotate(on.handle(), dtype_, args);
  const std::size_t row_norms =
      static_cast<std::size_t>(attention.heads) * static_cast<std::size_t>(splits) * 2;
  const std::size_t row_sums = row_norms / 2 * static_cast<std::size_t>(attention.head_dim);
  const auto most = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(kMostPartialBytes / (row_sums * sizeof(float))));
  const auto kept = static_cast<std::size_t>(std::min(most, qkv.rows));
  args.partial_sums =
      reinterpret_cast<float*>(on.scratch(CudaStream::Use::sums, kept * row_sums * sizeof(float)));
  args.partial_norms = reinterpret_cast<float*>(
      on.scratch(CudaStream::Use::norms, kept * row_norms * sizeof(float)));
  for (std::int64_t first = 0; first < qkv.rows; first += most) {
    args.first_row = first;
    args.rows = std::min(most, qkv.rows - first);
    if (attends_on_tensor_cores(dtype_, attention.head_dim)) {
      const Pieces pieces = pieces_of(spans, attention, first, args.rows);
      args.alone = on.stage(std::span<const AttendPiece>(pieces.alone));
      args.alone_count = static_cast<int>(pieces.alone.size());
      args.tiles = on.stage(std::span<const AttendPiece>(pieces.tiles));
      args.tile_count = static_cast<int>(pieces.tiles.size());
    }
    launch_attend(on.handle(), dtype_, args);
  }
}

}  // namespace gridmill::cuda
