#include <algorithm>
#include <cstring>

#include "checkpoint/unit_layout_detail.hpp"
#include "gridmill/base/check.hpp"

namespace gridmill::checkpoint_detail {

std::int64_t panel_width(const MatrixSpec& matrix, const Backend& backend) {
  return matrix.layout == MatrixLayout::rows ? 1 : backend.panel_outputs();
}

std::int64_t vector_size(const VectorSpec& vector) {
  std::int64_t size = 0;
  for (const VectorPart& part : vector.parts) size += part.elements.count;
  return size;
}

namespace {

/// Cuts `place` into shards, or not, and gives it room.
void settle(Place& place, std::int64_t items, bool split, bool stays, const LayoutRules& rules,
            UnitLayout& layout) {
  place.split = split;
  place.gathered = split && !stays;
  const int shards = split ? rules.shards : 1;
  for (int shard = 0; shard < shards; ++shard) {
    place.items.push_back(even_shard(items, shards, shard));
    const auto index = static_cast<std::size_t>(shard);
    if (place.gathered) {
      place.offsets.push_back(layout.block_bytes[index]);
      layout.block_bytes[index] += aligned(place.bytes(index));
    } else {
      place.offsets.push_back(layout.kept_bytes);
      if (!split || shard == rules.own) layout.kept_bytes += aligned(place.bytes(index));
    }
  }
}

}  // namespace

UnitLayout layout_unit(const UnitSpec& unit, const Backend& backend, const LayoutRules& rules) {
  UnitLayout layout;
  layout.block_bytes.assign(static_cast<std::size_t>(rules.shards), 0);
  for (std::size_t index = 0; index < unit.matrices.size(); ++index) {
    const MatrixSpec& matrix = unit.matrices[index];
    Place& place = layout.matrices.emplace_back();
    place.item_bytes = backend.panel_bytes(matrix.shape, matrix.layout);
    const bool split =
        rules.shards > 1 && matrix.shape.outputs * matrix.shape.inputs > rules.min_elements;
    settle(place, panel_count(matrix, panel_width(matrix, backend)), split,
           rules.table_stays && index == 0, rules, layout);
  }
  for (const VectorSpec& vector : unit.vectors) {
    Place& place = layout.vectors.emplace_back();
    place.item_bytes = sizeof(float);
    const std::int64_t size = vector_size(vector);
    const bool split = rules.shards > 1 && rules.split_vectors && size > rules.min_elements;
    settle(place, size, split, false, rules, layout);
    if (split) layout.assembled_bytes += aligned(static_cast<std::size_t>(size) * sizeof(float));
  }
  if (rules.equal_blocks) {
    const std::size_t longest =
        *std::max_element(layout.block_bytes.begin(), layout.block_bytes.end());
    std::fill(layout.block_bytes.begin(), layout.block_bytes.end(), longest);
  }
  for (const std::size_t bytes : layout.block_bytes) {
    layout.block_starts.push_back(layout.gathered_bytes);
    layout.gathered_bytes += bytes;
  }
  return layout;
}

UnitWeights make_weights(const UnitSpec& unit, const UnitLayout& layout, int own,
                         const std::byte* gathered, const std::byte* kept,
                         const std::byte* assembled) {
  UnitWeights weights;
  for (std::size_t index = 0; index < unit.matrices.size(); ++index) {
    const MatrixSpec& matrix = unit.matrices[index];
    const Place& place = layout.matrices[index];
    Weight& weight = weights.matrices.emplace_back(Weight{.shape = matrix.shape,
                                                          .fuse = matrix.fuse,
                                                          .layout = matrix.layout,
                                                          .panel_bytes = place.item_bytes,
                                                          .runs = {}});
    for (std::size_t shard = 0; shard < place.items.size(); ++shard) {
      const IndexRange panels = place.items[shard];
      const bool absent = place.split && !place.gathered && static_cast<int>(shard) != own;
      if (panels.count == 0 || absent) continue;
      const std::byte* base = place.gathered ? gathered + layout.block_starts[shard] : kept;
      weight.runs.push_back({panels.first, panels.count, base + place.offsets[shard]});
    }
  }
  for (std::size_t index = 0; index < unit.vectors.size(); ++index) {
    const Place& place = layout.vectors[index];
    const std::int64_t size = place.item_count();
    const std::byte* data = kept + place.offsets[0];
    if (place.gathered) {
      data = assembled;
      assembled += aligned(static_cast<std::size_t>(size) * sizeof(float));
    }
    // Aligned to kAlignment, and floats were written there.
    weights.vectors.push_back({size == 0 ? nullptr : reinterpret_cast<const float*>(data), size});
  }
  return weights;
}

void assemble_vectors(const UnitLayout& layout, const std::byte* gathered, std::byte* assembled) {
  for (const Place& place : layout.vectors) {
    if (!place.gathered) continue;
    for (std::size_t shard = 0; shard < place.items.size(); ++shard) {
      if (place.items[shard].count == 0) continue;
      std::memcpy(assembled + static_cast<std::size_t>(place.items[shard].first) * sizeof(float),
                  gathered + layout.block_starts[shard] + place.offsets[shard], place.bytes(shard));
    }
    assembled += aligned(static_cast<std::size_t>(place.item_count()) * sizeof(float));
  }
}

}  // namespace gridmill::checkpoint_detail
