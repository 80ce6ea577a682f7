#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "checkpoint/embedding_lookup_detail.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill::checkpoint_detail {

EmbeddingLookup::EmbeddingLookup(Table table, const Communicator& tp, const Communicator& fsdp,
                                 Backend& backend)
    : table_(std::move(table)),
      tp_ids_(all_gather(tp, table_.ids)),
      tp_(tp),
      fsdp_(fsdp),
      backend_(backend) {}

std::size_t EmbeddingLookup::tp_owner(TokenId id) const {
  for (std::size_t rank = 0; rank < tp_ids_.size(); ++rank) {
    if (id >= tp_ids_[rank].first && id < tp_ids_[rank].end()) return rank;
  }
  throw InternalError("token id " + std::to_string(id) + " is outside the vocabulary");
}

std::size_t EmbeddingLookup::fsdp_owner(TokenId id) const {
  const std::int64_t panel = (id - table_.ids.first) / table_.panel_width;
  for (std::size_t shard = 0; shard < table_.shards.size(); ++shard) {
    if (panel < table_.shards[shard].end()) return shard;
  }
  throw InternalError("token id " + std::to_string(id) + " is in no shard of the embedding");
}

std::vector<float> EmbeddingLookup::rows_of(Stream& stream, std::span<const TokenId> held) {
  const std::int64_t width = table_.weight.shape.inputs;
  const auto count = static_cast<std::int64_t>(held.size());
  std::vector<float> rows(static_cast<std::size_t>(count * width));
  if (rows.empty()) return rows;
  if (backend_.host_memory()) {
    backend_.embed(stream, table_.weight, table_.ids.first, held,
                   {rows.data(), count, width, width});
    stream.synchronize();
    return rows;
  }
  const std::size_t bytes = rows.size() * sizeof(float);
  if (device_rows_.size_bytes() < bytes) {
    stream.synchronize();
    device_rows_ = backend_.allocate(bytes);
  }
  auto* device = reinterpret_cast<float*>(device_rows_.data());
  backend_.embed(stream, table_.weight, table_.ids.first, held, {device, count, width, width});
  backend_.download(stream, device_rows_.data(), std::as_writable_bytes(std::span(rows)));
  stream.synchronize();
  return rows;
}

std::vector<float> EmbeddingLookup::rows_over_fsdp(Stream& stream, std::span<const TokenId> ids) {
  if (table_.shards.size() == 1) return rows_of(stream, ids);
  const std::size_t row_bytes =
      static_cast<std::size_t>(table_.weight.shape.inputs) * sizeof(float);
  const auto counts = all_gather(fsdp_, static_cast<std::int64_t>(ids.size()));
  std::vector<TokenId> wanted(
      static_cast<std::size_t>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0})));
  all_gather_elements(fsdp_, std::as_bytes(ids), counts, sizeof(TokenId),
                      std::as_writable_bytes(std::span(wanted)));
  const auto own = static_cast<std::size_t>(fsdp_.rank());
  std::vector<TokenId> held;
  std::vector<std::int64_t> send_counts;
  std::size_t next = 0;
  for (const std::int64_t count : counts) {
    const std::size_t before = held.size();
    for (std::int64_t i = 0; i < count; ++i, ++next) {
      if (fsdp_owner(wanted[next]) == own) held.push_back(wanted[next]);
    }
    send_counts.push_back(static_cast<std::int64_t>(held.size() - before));
  }
  std::vector<std::int64_t> receive_counts(counts.size(), 0);
  for (const TokenId id : ids) ++receive_counts[fsdp_owner(id)];

  const std::vector<float> sent = rows_of(stream, held);
  std::vector<float> received(ids.size() * row_bytes / sizeof(float));
  all_to_all_elements(fsdp_, std::as_bytes(std::span(sent)), send_counts, row_bytes, receive_counts,
                      std::as_writable_bytes(std::span(received)));
  bytes_received_ +=
      static_cast<std::uint64_t>(static_cast<std::int64_t>(ids.size()) - receive_counts[own]) *
      row_bytes;
  // They came by owner; put them into the order of `ids`.
  std::vector<std::size_t> place(counts.size(), 0);
  for (std::size_t owner = 1; owner < place.size(); ++owner) {
    place[owner] = place[owner - 1] + static_cast<std::size_t>(receive_counts[owner - 1]);
  }
  std::vector<float> rows(received.size());
  const std::size_t width = row_bytes / sizeof(float);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::size_t from = place[fsdp_owner(ids[i])]++;
    std::copy_n(received.begin() + static_cast<std::ptrdiff_t>(from * width), width,
                rows.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  return rows;
}

void EmbeddingLookup::store(Stream& stream, std::span<const float> rows, DeviceMatrix out) {
  const auto width = static_cast<std::size_t>(out.columns);
  if (backend_.host_memory()) {
    stream.synchronize();
    for (std::int64_t row = 0; row < out.rows; ++row) {
      std::memcpy(out.data + row * out.stride, rows.data() + static_cast<std::size_t>(row) * width,
                  width * sizeof(float));
    }
    return;
  }
  if (out.stride == out.columns) {
    backend_.upload(stream, std::as_bytes(rows), reinterpret_cast<std::byte*>(out.data));
    return;
  }
  for (std::int64_t row = 0; row < out.rows; ++row) {
    backend_.upload(stream,
                    std::as_bytes(rows.subspan(static_cast<std::size_t>(row) * width, width)),
                    reinterpret_cast<std::byte*>(out.data + row * out.stride));
  }
}

void EmbeddingLookup::embed(Stream& stream, std::span<const TokenId> ids, DeviceMatrix out) {
  GRIDMILL_ASSERT(out.rows == static_cast<std::int64_t>(ids.size()) &&
                      (ids.empty() || out.columns == table_.weight.shape.inputs),
                  "embedding rows need room for every id");
  if (tp_.size() == 1 && table_.shards.size() == 1) {
    if (!ids.empty()) backend_.embed(stream, table_.weight, table_.ids.first, ids, out);
    return;
  }
  // Rows of this tp rank's ids come over the fsdp group; then the tp ranks, which all need the same
  // ids, put their parts together.
  const auto own = static_cast<std::size_t>(tp_.rank());
  std::vector<TokenId> mine;
  std::vector<std::int64_t> counts(tp_ids_.size(), 0);
  for (const TokenId id : ids) {
    const std::size_t owner = tp_owner(id);
    ++counts[owner];
    if (owner == own) mine.push_back(id);
  }
  const std::vector<float> rows = rows_over_fsdp(stream, mine);
  if (ids.empty()) return;
  if (tp_.size() == 1) {
    store(stream, rows, out);
    return;
  }
  const auto width = static_cast<std::size_t>(out.columns);
  std::vector<float> gathered(ids.size() * width);
  all_gather_elements(tp_, std::as_bytes(std::span(rows)), counts, width * sizeof(float),
                      std::as_writable_bytes(std::span(gathered)));
  bytes_received_ += (ids.size() - mine.size()) * width * sizeof(float);
  std::vector<std::size_t> place(counts.size(), 0);
  for (std::size_t owner = 1; owner < place.size(); ++owner) {
    place[owner] = place[owner - 1] + static_cast<std::size_t>(counts[owner - 1]);
  }
  std::vector<float> ordered(gathered.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::size_t from = place[tp_owner(ids[i])]++;
    std::copy_n(gathered.begin() + static_cast<std::ptrdiff_t>(from * width), width,
                ordered.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  store(stream, ordered, out);
}

}  // namespace gridmill::checkpoint_detail
