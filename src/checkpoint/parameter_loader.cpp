#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "checkpoint/device_staging_detail.hpp"
#include "checkpoint/node_plan_detail.hpp"
#include "checkpoint/packer_detail.hpp"
#include "checkpoint/parameter_layout_detail.hpp"
#include "checkpoint/parameter_loader_detail.hpp"
#include "checkpoint/unit_pieces_detail.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/grid/transfer.hpp"

namespace gridmill::checkpoint_detail {

namespace {

std::vector<ResidentUnit> resident_units(const Arena& arena, const std::byte* base) {
  std::vector<ResidentUnit> units;
  for (std::size_t unit = 0; unit < arena.block_starts.size(); ++unit) {
    units.push_back({base + arena.block_starts[unit], base + arena.kept_starts[unit]});
  }
  return units;
}

/// Gives `packer` this rank's items of a unit: its shard at `block`, what is not cut at `kept`.
void add_own_items(Packer& packer, const UnitSpec& unit, const UnitLayout& layout, int own,
                   std::byte* block, std::byte* kept) {
  const auto add = [&](const auto& spec, const Place& place) {
    const std::size_t shard = place.split ? static_cast<std::size_t>(own) : 0;
    std::byte* base = place.gathered ? block : kept;
    packer.add(spec, place.items[shard], base + place.offsets[shard]);
  };
  for (std::size_t index = 0; index < unit.matrices.size(); ++index) {
    add(unit.matrices[index], layout.matrices[index]);
  }
  for (std::size_t index = 0; index < unit.vectors.size(); ++index) {
    add(unit.vectors[index], layout.vectors[index]);
  }
}

class Loader {
 public:
  Loader(const CheckpointFile& file, const ModelParameters& parameters, Grid& grid,
         Backend& backend, const ParameterOptions& options)
      : file_(file),
        parameters_(parameters),
        grid_(grid),
        backend_(backend),
        options_(options),
        own_(grid.fsdp().rank()),
        packer_(agree_on(grid.world(),
                         [&] { return Packer(file, parameters, backend, options.dtype); })) {}

  LoadedParameters load() {
    const std::uint64_t read_before = file_.bytes_read();
    const bool once = options_.gather_once || grid_.fsdp().size() == 1;
    loaded_.whole = once;
    if (backend_.host_memory() && once) {
      load_for_node();
    } else if (backend_.host_memory()) {
      load_shard();
    } else {
      load_device(once);
    }
    loaded_.bytes_read = file_.bytes_read() - read_before;
    return std::move(loaded_);
  }

 private:
  /// Sets the layouts of all units.
  Arena plan_layouts(Keeping keeping) {
    return agree_on(grid_.world(), [&] {
      ParameterLayout layout = lay_out_parameters(parameters_, backend_,
                                                  {.keeping = keeping,
                                                   .shards = grid_.fsdp().size(),
                                                   .own = own_,
                                                   .min_elements = options_.fsdp_min_weight_size});
      loaded_.layouts = std::move(layout.units);
      return layout.arena;
    });
  }

  /// A shard of every unit in memory of this rank alone.
  void load_shard() {
    const Arena arena = plan_layouts(Keeping::host_shard);
    check_memory(arena.bytes + UnitGather::bytes_for(loaded_.layouts), "the parameters' shards");
    allocate(arena.bytes);
    loaded_.resident = resident_units(arena, loaded_.memory.data());
    for (std::size_t unit = 0; unit < parameters_.units.size(); ++unit) {
      add_own_items(packer_, parameters_.units[unit], loaded_.layouts[unit], own_,
                    loaded_.memory.data() + arena.block_starts[unit],
                    loaded_.memory.data() + arena.kept_starts[unit]);
    }
    agree_on(grid_.world(), [&] { packer_.run(options_.threads); });
  }

  void allocate(std::size_t bytes) {
    agree_on(grid_.world(), [&] {
      if (bytes > 0) loaded_.memory = backend_.allocate(bytes);
    });
  }

  /// Collective over the world; only the ranks of a node can read its free memory.
  void check_memory(std::size_t bytes, const std::string& what) {
    CollectiveStage stage(grid_.world());
    stage.collective([&] { check_node_memory(grid_.node(), bytes, what); });
    stage.finish();
  }

  /// One copy a node, packed by all its ranks together and completed from other nodes.
  void load_for_node() {
    const Arena arena = plan_layouts(Keeping::node_copy);
    const Communicator& sharers = grid_.node_tp_peers();
    check_memory(sharers.rank() == 0 ? arena.bytes : 0, "the parameters");
    CollectiveStage sharing(grid_.world());
    sharing.collective(
        [&] { loaded_.shared = NodeMemory::create(sharers, arena.bytes, "the parameters"); });
    sharing.finish();
    std::byte* base = loaded_.shared.bytes().data();
    loaded_.resident = resident_units(arena, base);

    const Communicator& peers_comm = grid_.tp_peers();
    const std::vector<Peer> peers =
        all_gather(peers_comm, Peer{own_, grid_.node_of(grid_.world().rank())});
    std::vector<OutgoingPiece> outgoing;
    std::vector<IncomingPiece> incoming;
    const auto plan = [&](const auto& spec, const Place& place, std::int64_t elements,
                          std::byte* kept) {
      const bool split = elements > options_.fsdp_min_weight_size;
      const NodePlan moves = plan_node_copy(peers, peers_comm.rank(), place.item_count(),
                                            split ? grid_.fsdp().size() : 1);
      std::byte* first = kept + place.offsets[0];
      const auto bytes_of = [&](IndexRange items) {
        return std::span(first + static_cast<std::size_t>(items.first) * place.item_bytes,
                         static_cast<std::size_t>(items.count) * place.item_bytes);
      };
      for (const IndexRange items : moves.pack) packer_.add(spec, items, bytes_of(items).data());
      for (const auto& move : moves.send) outgoing.push_back({move.peer, bytes_of(move.items)});
      for (const auto& move : moves.receive) incoming.push_back({move.peer, bytes_of(move.items)});
    };
    for (std::size_t unit = 0; unit < parameters_.units.size(); ++unit) {
      const UnitSpec& spec = parameters_.units[unit];
      const UnitLayout& layout = loaded_.layouts[unit];
      std::byte* kept = base + arena.kept_starts[unit];
      for (std::size_t index = 0; index < spec.matrices.size(); ++index) {
        const MatrixShape& shape = spec.matrices[index].shape;
        plan(spec.matrices[index], layout.matrices[index], shape.outputs * shape.inputs, kept);
      }
      for (std::size_t index = 0; index < spec.vectors.size(); ++index) {
        plan(spec.vectors[index], layout.vectors[index], vector_size(spec.vectors[index]), kept);
      }
    }
    agree_on(grid_.world(), [&] { packer_.run(options_.threads); });
    transfer_pieces(peers_comm, outgoing, incoming);
    for (const IncomingPiece& piece : incoming) loaded_.bytes_received += piece.bytes.size();
    CollectiveStage sealing(grid_.world());
    sealing.collective([&] { loaded_.shared.seal(sharers); });
    sealing.finish();
  }

  /// Through two buffers of the host, since packing happens there: a piece is read and packed while
  /// the one before is copied.
  void load_device(bool once) {
    const Arena arena = plan_layouts(once ? Keeping::device_whole : Keeping::device_shard);
    allocate(arena.bytes);
    loaded_.resident = resident_units(arena, loaded_.memory.data());
    const bool gathers = once && grid_.fsdp().size() > 1;
    std::optional<DeviceStaging> staging;
    agree_on(grid_.world(), [&] { staging.emplace(backend_, staging_bytes(gathers)); });
    const auto pack = [this](const UnitPiece& piece, std::span<std::byte> target) {
      pack_piece(packer_, piece, target, options_.threads);
    };
    for (std::size_t unit = 0; unit < parameters_.units.size(); ++unit) {
      std::byte* block = loaded_.memory.data() + arena.block_starts[unit];
      std::byte* kept = loaded_.memory.data() + arena.kept_starts[unit];
      CollectiveStage stage(grid_.world());
      if (gathers) gather_block(unit, *staging, block, stage);
      stage.local([&] {
        if (!gathers) upload_pieces(*staging, pieces_of(unit, UnitPart::block), block, pack);
        upload_pieces(*staging, pieces_of(unit, UnitPart::kept), kept, pack);
      });
      stage.finish();
    }
    agree_on(grid_.world(), [&] { staging->finish(); });
  }

  [[nodiscard]] std::vector<UnitPiece> pieces_of(std::size_t unit, UnitPart part) const {
    return cut_unit(parameters_.units[unit], loaded_.layouts[unit], own_, part,
                    options_.staging_bytes);
  }

  /// Bytes of each block that are gathered at once.
  [[nodiscard]] std::size_t gather_window(std::size_t block_bytes) const {
    const auto ranks = static_cast<std::size_t>(grid_.fsdp().size());
    return std::min(block_bytes, std::max<std::size_t>(1, options_.staging_bytes / ranks));
  }

  /// Size of one buffer: the bound, or less if no piece is that long.
  [[nodiscard]] std::size_t staging_bytes(bool gathers) const {
    const auto ranks = static_cast<std::size_t>(grid_.fsdp().size());
    std::size_t bytes = 0;
    for (std::size_t unit = 0; unit < parameters_.units.size(); ++unit) {
      for (const UnitPart part : {UnitPart::block, UnitPart::kept}) {
        if (gathers && part == UnitPart::block) {
          bytes = std::max(bytes, ranks * gather_window(loaded_.layouts[unit].block_bytes[0]));
          continue;
        }
        for (const UnitPiece& piece : pieces_of(unit, part)) bytes = std::max(bytes, piece.bytes);
      }
    }
    return bytes;
  }

  /// Packs the own block of a unit and gathers those of all fsdp ranks to `device`, a window of all
  /// blocks at a time. Collective over the world; `stage` has yet to be finished.
  void gather_block(std::size_t unit, DeviceStaging& staging, std::byte* device,
                    CollectiveStage& stage) {
    const UnitLayout& layout = loaded_.layouts[unit];
    const std::size_t block_bytes = layout.block_bytes[static_cast<std::size_t>(own_)];
    const auto ranks = static_cast<std::size_t>(grid_.fsdp().size());
    const std::size_t window = gather_window(block_bytes);
    std::vector<std::byte> own;
    stage.local([&] {
      own.resize(block_bytes);
      for (const UnitPiece& piece : pieces_of(unit, UnitPart::block)) {
        pack_piece(packer_, piece, std::span(own).subspan(piece.begin, piece.bytes),
                   options_.threads);
      }
    });
    stage.finish();  // a rank without its block has nothing to send
    for (std::size_t at = 0; at < block_bytes; at += window) {
      const std::size_t bytes = std::min(window, block_bytes - at);
      std::vector<std::byte> nowhere;  // for what others send to a rank that has failed
      std::span<std::byte> whole;
      stage.local([&] { whole = staging.next().first(ranks * bytes); });
      if (stage.failed()) {
        nowhere.resize(ranks * bytes);
        whole = nowhere;
      }
      all_gather_bytes(grid_.fsdp(), std::span(own).subspan(at, bytes), whole);
      stage.local([&] {
        for (std::size_t rank = 0; rank < ranks; ++rank) {
          staging.upload(whole.subspan(rank * bytes, bytes),
                         device + layout.block_starts[rank] + at);
        }
      });
    }
    loaded_.bytes_received += layout.gathered_bytes - block_bytes;
  }

  const CheckpointFile& file_;
  const ModelParameters& parameters_;
  Grid& grid_;
  Backend& backend_;
  const ParameterOptions& options_;
  int own_;
  Packer packer_;
  LoadedParameters loaded_;
};

}  // namespace

LoadedParameters load_parameters(const CheckpointFile& file, const ModelParameters& parameters,
                                 Grid& grid, Backend& backend, const ParameterOptions& options) {
  return Loader(file, parameters, grid, backend, options).load();
}

EmbeddingLookup::Table embedding_table(const ModelParameters& parameters,
                                       const LoadedParameters& loaded, const Backend& backend,
                                       int own_shard) {
  const auto unit = static_cast<std::size_t>(parameters.embedding_unit);
  const MatrixSpec& matrix = parameters.units.at(unit).matrices.at(0);
  const Place& place = loaded.layouts[unit].matrices[0];
  EmbeddingLookup::Table table;
  table.ids = parameters.embedding_ids;
  table.panel_width = panel_width(matrix, backend);
  table.weight = Weight{.shape = matrix.shape,
                        .fuse = matrix.fuse,
                        .layout = matrix.layout,
                        .panel_bytes = place.item_bytes,
                        .runs = {}};
  const ResidentUnit& resident = loaded.resident[unit];
  const bool shard_only = place.split && !loaded.whole;
  if (shard_only) table.shards = place.items;
  if (!shard_only) table.shards = {{0, place.item_count()}};
  for (std::size_t shard = 0; shard < place.items.size(); ++shard) {
    if (shard_only && static_cast<int>(shard) != own_shard) continue;
    if (place.items[shard].count == 0) continue;
    const std::byte* base = resident.kept;
    if (place.gathered) {
      base = resident.block + (loaded.whole ? loaded.layouts[unit].block_starts[shard] : 0);
    }
    table.weight.runs.push_back(
        {place.items[shard].first, place.items[shard].count, base + place.offsets[shard]});
  }
  return table;
}

}  // namespace gridmill::checkpoint_detail
