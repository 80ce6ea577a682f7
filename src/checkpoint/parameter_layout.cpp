#include "checkpoint/parameter_layout_detail.hpp"

namespace gridmill::checkpoint_detail {

namespace {

LayoutRules rules_of(const ParameterPlace& place) {
  LayoutRules rules{.shards = place.shards, .own = place.own, .min_elements = place.min_elements};
  switch (place.keeping) {
    case Keeping::node_copy:
      return {};  // one copy, not cut
    case Keeping::host_shard:
      rules.table_stays = true;
      return rules;
    case Keeping::device_shard:
    case Keeping::device_whole:
      rules.split_vectors = false;  // pieces could not be put together on the device
      rules.equal_blocks = true;
      rules.table_stays = place.keeping == Keeping::device_shard;
      return rules;
  }
  return rules;
}

Arena plan_arena(const std::vector<UnitLayout>& layouts, int own, bool all_blocks) {
  Arena arena;
  for (const UnitLayout& layout : layouts) {
    arena.block_starts.push_back(arena.bytes);
    arena.bytes +=
        all_blocks ? layout.gathered_bytes : layout.block_bytes[static_cast<std::size_t>(own)];
    arena.kept_starts.push_back(arena.bytes);
    arena.bytes += layout.kept_bytes;
  }
  return arena;
}

}  // namespace

ParameterLayout lay_out_parameters(const ModelParameters& parameters, const Backend& backend,
                                   const ParameterPlace& place) {
  ParameterLayout layout;
  const LayoutRules rules = rules_of(place);
  for (std::size_t unit = 0; unit < parameters.units.size(); ++unit) {
    LayoutRules of_unit = rules;
    const bool embeds = static_cast<UnitId>(unit) == parameters.embedding_unit;
    of_unit.table_stays = rules.table_stays && embeds &&
                          parameters.units[unit].matrices.at(0).layout == MatrixLayout::rows;
    layout.units.push_back(layout_unit(parameters.units[unit], backend, of_unit));
  }
  layout.arena =
      plan_arena(layout.units, rules.own,
                 place.keeping == Keeping::node_copy || place.keeping == Keeping::device_whole);
  return layout;
}

}  // namespace gridmill::checkpoint_detail
