#include "gridmill/checkpoint/parameter_footprint.hpp"

#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "checkpoint/layout_detail.hpp"
#include "checkpoint/node_plan_detail.hpp"
#include "checkpoint/parameter_layout_detail.hpp"
#include "checkpoint/unit_gather_detail.hpp"

namespace gridmill {

using namespace checkpoint_detail;

namespace {

ParameterPlace place_of(const ParameterSharing& sharing, int shard) {
  return {.keeping = sharing.whole() ? Keeping::node_copy : Keeping::host_shard,
          .shards = sharing.fsdp,
          .own = shard,
          .min_elements = sharing.fsdp_min_weight_size};
}

/// Stored bytes of the elements that each part names.
class StoredBytes {
 public:
  explicit StoredBytes(std::span<const StoredParameter> stored) {
    for (const StoredParameter& parameter : stored) {
      element_bytes_[parameter.spec.name] =
          static_cast<double>(parameter.size_bytes()) /
          static_cast<double>(checkpoint_layout::element_count(parameter.spec.shape));
    }
  }
  [[nodiscard]] double of(const MatrixSpec& matrix) const {
    double bytes = 0;
    for (const MatrixPart& part : matrix.parts) {
      bytes += static_cast<double>(part.rows.count * part.columns.count) *
               element_bytes_.at(part.parameter);
    }
    return bytes;
  }
  [[nodiscard]] double of(const VectorSpec& vector) const {
    double bytes = 0;
    for (const VectorPart& part : vector.parts) {
      if (part.parameter.empty()) continue;  // zeros
      bytes += static_cast<double>(part.elements.count) * element_bytes_.at(part.parameter);
    }
    return bytes;
  }

 private:
  std::unordered_map<std::string, double> element_bytes_;
};

/// Shares of one matrix or vector that all ranks together read, and receive.
struct Shares {
  double read = 0;
  double received = 0;
};

Shares node_copy_shares(const std::vector<Peer>& peers, std::int64_t items, int shards) {
  Shares shares;
  for (std::size_t rank = 0; rank < peers.size(); ++rank) {
    const NodePlan moves = plan_node_copy(peers, static_cast<int>(rank), items, shards);
    for (const IndexRange range : moves.pack) shares.read += static_cast<double>(range.count);
    for (const NodePlan::Move& move : moves.receive) {
      shares.received += static_cast<double>(move.items.count);
    }
  }
  shares.read /= static_cast<double>(items);
  shares.received /= static_cast<double>(items);
  return shares;
}

}  // namespace

ParameterFootprint parameter_footprint(const ModelParameters& parameters, const Backend& backend,
                                       const ParameterSharing& sharing, int shard) {
  const ParameterLayout layout = lay_out_parameters(parameters, backend, place_of(sharing, shard));
  if (sharing.whole()) return {.shared_bytes = layout.arena.bytes};
  ParameterFootprint footprint{.private_bytes =
                                   layout.arena.bytes + UnitGather::bytes_for(layout.units)};
  for (const UnitLayout& unit : layout.units) {
    footprint.gathered_bytes_a_pass +=
        unit.gathered_bytes - unit.block_bytes[static_cast<std::size_t>(shard)];
  }
  return footprint;
}

ParameterTraffic parameter_traffic(const ModelParameters& parameters,
                                   std::span<const StoredParameter> stored, const Backend& backend,
                                   const ParameterSharing& sharing, std::span<const int> nodes) {
  const StoredBytes bytes(stored);
  const ParameterLayout layout = lay_out_parameters(parameters, backend, place_of(sharing, 0));
  std::vector<Peer> peers;
  for (std::size_t rank = 0; rank < nodes.size(); ++rank) {
    peers.push_back({static_cast<int>(rank) % sharing.fsdp, nodes[rank]});
  }
  // Layers are alike, so most of these are asked for many times.
  std::map<std::pair<std::int64_t, int>, Shares> known;
  double read = 0;
  double received = 0;
  const auto add = [&](const Place& place, std::int64_t elements, double stored_bytes) {
    const std::int64_t items = place.item_count();
    if (items == 0) return;
    const int shards = elements > sharing.fsdp_min_weight_size ? sharing.fsdp : 1;
    Shares shares{.read = static_cast<double>(nodes.size()) / (place.split ? sharing.fsdp : 1)};
    if (sharing.whole()) {
      const auto [found, fresh] = known.try_emplace({items, shards});
      if (fresh) found->second = node_copy_shares(peers, items, shards);
      shares = found->second;
      received += shares.received * static_cast<double>(items * place.item_bytes);
    }
    read += shares.read * stored_bytes;
  };
  for (std::size_t unit = 0; unit < parameters.units.size(); ++unit) {
    const UnitSpec& spec = parameters.units[unit];
    for (std::size_t index = 0; index < spec.matrices.size(); ++index) {
      const MatrixSpec& matrix = spec.matrices[index];
      add(layout.units[unit].matrices[index], matrix.shape.outputs * matrix.shape.inputs,
          bytes.of(matrix));
    }
    for (std::size_t index = 0; index < spec.vectors.size(); ++index) {
      add(layout.units[unit].vectors[index], vector_size(spec.vectors[index]),
          bytes.of(spec.vectors[index]));
    }
  }
  return {.bytes_read = static_cast<std::uint64_t>(std::llround(read)),
          .bytes_received = static_cast<std::uint64_t>(std::llround(received))};
}

}  // namespace gridmill
