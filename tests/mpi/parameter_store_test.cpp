#include "gridmill/checkpoint/parameter_store.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/available_memory.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/grid/collectives.hpp"
#include "mpi/grid_shapes.hpp"
#include "mpi/parameter_model.hpp"
#include "support/cuda_under_test.hpp"
#include "support/null_device/null_device.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

using test::ParameterModel;

/// What a process may read while it loads, besides its rows and a look at the memory that is left:
/// messages of MPI.
constexpr std::uint64_t kReadBesides = 8192;

enum class Place : std::uint8_t { host, null_device, emulated_cuda };

/// One way to hold parameters.
struct Setting {
  GridShape shape{};
  int nodes = 1;  ///< pretended: ranks are dealt in contiguous groups
  bool once = false;
  std::int64_t min_elements = 0;
  bool tied = false;
  DType compute = DType::fp32;
  ParameterDType cast = ParameterDType::checkpoint;
  Place place = Place::host;
  std::size_t staging_bytes = ParameterOptions{}.staging_bytes;
};

std::string describe(const Setting& setting) {
  return fmt::format(
      "{}x{}x{} nodes {} {} min {} {} {} cast {} place {} staging {}", setting.shape.dp,
      setting.shape.fsdp, setting.shape.tp, setting.nodes, setting.once ? "once" : "per layer",
      setting.min_elements, setting.tied ? "tied" : "untied", name_of(setting.compute),
      static_cast<int>(setting.cast), static_cast<int>(setting.place), setting.staging_bytes);
}

class ParameterStoreTest : public ::testing::Test {
 protected:
  ParameterStoreTest() {
    // Rank 0's folder, for everybody.
    if (world_.rank() == 0) folder_ = std::make_unique<test::TemporaryFolder>();
    if (folder_) path_ = folder_->file("");
    broadcast(world_, 0, path_);
    if (world_.rank() == 0) {
      tied_.write(path_ + "tied.h5");
      untied_.write(path_ + "untied.h5");
    }
    world_.barrier();
  }
  ~ParameterStoreTest() override { world_.barrier(); }

  [[nodiscard]] const ParameterModel& model(const Setting& setting) const {
    return setting.tied ? tied_ : untied_;
  }
  [[nodiscard]] CheckpointFile file(const Setting& setting) const {
    return CheckpointFile::open(path_ + (setting.tied ? "tied.h5" : "untied.h5"));
  }
  [[nodiscard]] Grid grid(const Setting& setting) const {
    return Grid::create_with_nodes(MPI_COMM_WORLD, setting.shape,
                                   world_.rank() * setting.nodes / world_.size());
  }

  Communicator world_ = Communicator::duplicate(MPI_COMM_WORLD);
  std::unique_ptr<test::TemporaryFolder> folder_;
  std::string path_;
  ParameterModel tied_{true};
  ParameterModel untied_{false};
};

std::unique_ptr<Backend> backend_of(const Setting& setting) {
  switch (setting.place) {
    case Place::host:
      return make_backend("reference", {.compute_dtype = setting.compute});
    case Place::null_device:
      return testing::make_null_device(setting.compute);
    case Place::emulated_cuda:
#ifdef GRIDMILL_TEST_EMULATION
      return testing::make_cuda(setting.compute);
#else
      break;
#endif
  }
  throw InternalError("this build has no emulation");
}

/// A source with everything it needs.
struct Holder {
  Grid grid;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Stream> stream;
  ModelParameters parameters;
  std::unique_ptr<CheckpointParameters> source;

  Holder(Grid made, const Setting& setting, const ParameterModel& model, const CheckpointFile& file)
      : grid(std::move(made)),
        backend(backend_of(setting)),
        stream(backend->make_stream()),
        parameters(model.parameters(setting.shape.tp, grid.coord().tp)),
        source(make_parameter_source(file, parameters, grid, *backend, *stream,
                                     {.gather_once = setting.once,
                                      .fsdp_min_weight_size = setting.min_elements,
                                      .dtype = setting.cast,
                                      .threads = 2,
                                      .staging_bytes = setting.staging_bytes})) {}

  [[nodiscard]] std::vector<std::byte> bytes(const std::byte* device, std::size_t count) const {
    std::vector<std::byte> host(count);
    if (count > 0) backend->download(*stream, device, host);
    stream->synchronize();
    return host;
  }
};

std::vector<Setting> settings_of(const GridShape& shape) {
  std::vector<Setting> settings;
  for (const bool once : {false, true}) {
    for (const std::int64_t min_elements : {0, 500, 1'000'000}) {
      for (const bool device : {false, true}) {
        if (device && min_elements > 500) continue;
        const bool tied = (min_elements == 0) != device;
        const Place place = device ? Place::null_device : Place::host;
        const DType compute = once != tied ? DType::fp32 : DType::bf16;
        settings.push_back({.shape = shape,
                            .once = once,
                            .min_elements = min_elements,
                            .tied = tied,
                            .compute = compute,
                            .place = place});
      }
    }
  }
  // Less than a panel, and less than a matrix: of a device's buffers many pieces are made.
  for (const std::size_t staging_bytes : {64, 3000}) {
    for (const bool once : {false, true}) {
      settings.push_back({.shape = shape,
                          .once = once,
                          .tied = once,
                          .place = Place::null_device,
                          .staging_bytes = staging_bytes});
#ifdef GRIDMILL_TEST_EMULATION
      settings.push_back({.shape = shape,
                          .once = once,
                          .min_elements = 500,
                          .compute = DType::bf16,
                          .place = Place::emulated_cuda,
                          .staging_bytes = staging_bytes});
#endif
    }
  }
  for (const int nodes : {2, 3}) {
    if (nodes > shape.ranks()) continue;
    settings.push_back({.shape = shape, .nodes = nodes, .once = true});
    settings.push_back({.shape = shape, .nodes = nodes, .once = true, .min_elements = 500});
  }
  settings.push_back({.shape = shape, .tied = true, .cast = ParameterDType::bf16});
  settings.push_back({.shape = shape, .once = true, .cast = ParameterDType::fp32});
  return settings;
}

void expect_unit(const Holder& holder, const ParameterModel& model, const Setting& setting,
                 UnitId unit) {
  const UnitSpec& spec = holder.parameters.units[static_cast<std::size_t>(unit)];
  const UnitLease lease = holder.source->acquire(unit);
  ASSERT_EQ(lease->matrices.size(), spec.matrices.size());
  for (std::size_t index = 0; index < spec.matrices.size(); ++index) {
    const Weight& weight = lease->matrices[index];
    EXPECT_EQ(weight.shape, spec.matrices[index].shape);
    const std::vector<std::byte> expected =
        model.packed(spec.matrices[index], *holder.backend, setting.cast);
    std::vector<std::byte> found;
    for (const PanelRun& run : weight.runs) {
      EXPECT_EQ(static_cast<std::size_t>(run.first_panel) * weight.panel_bytes, found.size());
      const auto bytes =
          holder.bytes(run.data, static_cast<std::size_t>(run.panels) * weight.panel_bytes);
      found.insert(found.end(), bytes.begin(), bytes.end());
    }
    EXPECT_TRUE(found == expected) << spec.name << "." << spec.matrices[index].name;
  }
  ASSERT_EQ(lease->vectors.size(), spec.vectors.size());
  for (std::size_t index = 0; index < spec.vectors.size(); ++index) {
    const ConstDeviceVector vector = lease->vectors[index];
    const std::vector<float> expected = model.vector_values(spec.vectors[index], setting.cast);
    ASSERT_EQ(vector.size, static_cast<std::int64_t>(expected.size()));
    const auto bytes = holder.bytes(reinterpret_cast<const std::byte*>(vector.data),
                                    expected.size() * sizeof(float));
    EXPECT_EQ(std::memcmp(bytes.data(), expected.data(), bytes.size()), 0)
        << spec.name << "." << spec.vectors[index].name;
  }
}

void expect_units(const Holder& holder, const ParameterModel& model, const Setting& setting) {
  const auto units = static_cast<UnitId>(holder.parameters.units.size());
  const UnitId first = setting.tied ? 0 : 1;  // a table of its own is looked up only
  for (int pass = 0; pass < 2; ++pass) {
    holder.source->prefetch(first);
    for (UnitId unit = first; unit < units; ++unit) {
      if (unit + 1 < units) holder.source->prefetch(unit + 1);
      expect_unit(holder, model, setting, unit);
    }
  }
}

void expect_rows(const Holder& holder, const ParameterModel& model, const Setting& setting) {
  // Each replica has its own ids, and some have none; tp ranks share theirs.
  const GridCoord coord = holder.grid.coord();
  const int replica = coord.dp * setting.shape.fsdp + coord.fsdp;
  for (const int count : {0, 1, 7, 40}) {
    std::vector<TokenId> ids;
    ids.reserve(std::size_t{2} * static_cast<std::size_t>(count));
    for (int i = 0; i < count * (replica % 3); ++i) {
      ids.push_back((replica * 31 + i * i * 7) % ParameterModel::kVocabulary);
    }
    const auto rows = static_cast<std::int64_t>(ids.size());
    constexpr std::int64_t kStride = ParameterModel::kWidth + 5;
    const Buffer memory = holder.backend->allocate(
        static_cast<std::size_t>(std::max<std::int64_t>(rows, 1) * kStride) * sizeof(float));
    auto* data = reinterpret_cast<float*>(memory.data());
    holder.source->embed(*holder.stream, ids, {data, rows, ParameterModel::kWidth, kStride});
    std::vector<float> expected(static_cast<std::size_t>(rows * kStride), 0.0F);  // gaps stay
    for (std::size_t row = 0; row < ids.size(); ++row) {
      const std::vector<float> values =
          model.embedding_row(ids[row], setting.cast, setting.compute);
      std::copy(values.begin(), values.end(),
                expected.begin() + static_cast<std::ptrdiff_t>(row * kStride));
    }
    const auto found = holder.bytes(memory.data(), expected.size() * sizeof(float));
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size()), 0) << count << " ids";
  }
}

TEST_F(ParameterStoreTest, EveryGridSeesTheWeightsOfAPlainPackAndEmbedsPlainRows) {
  for (const GridShape& shape : test::shapes_of_this_job()) {
    for (const Setting& setting : settings_of(shape)) {
      SCOPED_TRACE(describe(setting));
      const Holder holder(grid(setting), setting, model(setting), file(setting));
      expect_units(holder, model(setting), setting);
      expect_rows(holder, model(setting), setting);
    }
  }
}

/// Bytes that this process has read with system calls.
std::uint64_t bytes_read_by_process() {
  std::ifstream io("/proc/self/io");
  std::string name;
  std::uint64_t bytes = 0;
  io >> name >> bytes;
  EXPECT_EQ(name, "rchar:");
  return bytes;
}

TEST_F(ParameterStoreTest, ARankReadsOnlyItsOwnShard) {
  for (const bool once : {false, true}) {
    const Setting setting{.shape = {1, world_.size(), 1}, .once = once};
    const CheckpointFile opened = file(setting);
    const std::uint64_t start = bytes_read_by_process();
    static_cast<void>(available_memory());  // long where a machine has many mounts
    const std::uint64_t before = bytes_read_by_process();
    const Holder holder(grid(setting), setting, model(setting), opened);
    const std::uint64_t read = bytes_read_by_process() - before;
    const ParameterStatistics statistics = holder.source->statistics();
    EXPECT_GE(read, statistics.bytes_read) << "the operating system counts the same";
    EXPECT_LE(read, statistics.bytes_read + (before - start) + kReadBesides);
    const double share = static_cast<double>(statistics.bytes_read) /
                         static_cast<double>(statistics.checkpoint_bytes);
    const Spread spread = spread_over_ranks(world_, std::vector<double>{share})[0];
    // Everything but 36 of the 192 elements of `blocks`, once in all.
    EXPECT_LE(spread.mean * world_.size(), 1.0);
    EXPECT_GE(spread.mean * world_.size(), 0.95);
    EXPECT_LE(spread.max, 2.5 / world_.size());  // some matrices have fewer panels than shards
  }
}

TEST_F(ParameterStoreTest, SmallParametersStayWholeOnEveryRankThatGathers) {
  const Setting setting{.shape = {1, world_.size(), 1}, .min_elements = 1'000'000};
  const Holder holder(grid(setting), setting, model(setting), file(setting));
  const ParameterStatistics statistics = holder.source->statistics();
  EXPECT_GE(static_cast<double>(statistics.bytes_read),
            0.95 * static_cast<double>(statistics.checkpoint_bytes));
  { const UnitLease lease = holder.source->acquire(1); }
  EXPECT_EQ(holder.source->statistics().bytes_received, 0U);
}

TEST_F(ParameterStoreTest, ReplicasOfANodeShareOneCopyAndReadItOnce) {
  const Setting setting{.shape = {world_.size(), 1, 1}};
  const Holder holder(grid(setting), setting, model(setting), file(setting));
  const ParameterStatistics statistics = holder.source->statistics();
  EXPECT_EQ(statistics.private_bytes, 0U);
  EXPECT_GT(statistics.shared_bytes, 0U);
  EXPECT_LE(sum_over_ranks(world_, statistics.bytes_read), statistics.checkpoint_bytes);
}

TEST_F(ParameterStoreTest, EachByteCrossesToANodeOnce) {
  // Each shard is on one node only, so n nodes lack (n - 1) / n of everything each, n - 1 copies in
  // all, whatever the number of ranks that want it on a node.
  const int ranks = world_.size();
  for (int nodes = 1; nodes <= ranks; ++nodes) {
    const Setting setting{.shape = {1, ranks, 1}, .nodes = nodes, .once = true};
    SCOPED_TRACE(describe(setting));
    const Holder holder(grid(setting), setting, model(setting), file(setting));
    const ParameterStatistics statistics = holder.source->statistics();
    const double whole = static_cast<double>(statistics.shared_bytes);
    const double received = static_cast<double>(sum_over_ranks(world_, statistics.bytes_received));
    EXPECT_LE(received, whole * (nodes - 1));
    EXPECT_GE(received, whole * (nodes - 1) * 0.9);  // paddings are not sent
    EXPECT_EQ(statistics.private_bytes, 0U) << "a copy beside the node's";
  }
}

/// Place of `address` in the file or shared memory that is mapped there: "device inode offset", ""
/// for memory of this process alone.
std::string shared_place_of(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::uintptr_t first = 0;
    std::uintptr_t end = 0;
    std::uintptr_t offset = 0;
    std::uint64_t inode = 0;
    char dash = 0;
    std::string access;
    std::string device;
    fields >> std::hex >> first >> dash >> end >> access >> offset >> device >> std::dec >> inode;
    if (at < first || at >= end) continue;
    return inode == 0 ? "" : fmt::format("{} {} {}", device, inode, at - first + offset);
  }
  ADD_FAILURE() << "not mapped";
  return "";
}

TEST_F(ParameterStoreTest, RanksOfANodeLookAtOneCopyAndNodesHaveTheirOwn) {
  const int ranks = world_.size();
  for (int nodes = 1; 2 * nodes <= ranks; nodes *= 2) {
    const Setting setting{.shape = {1, ranks, 1}, .nodes = nodes, .once = true};
    SCOPED_TRACE(describe(setting));
    const Holder holder(grid(setting), setting, model(setting), file(setting));
    const UnitLease lease = holder.source->acquire(1);
    const std::vector<std::string> places =
        all_gather_text(world_, shared_place_of(lease->matrices.front().runs.front().data));
    EXPECT_NE(places.front(), "");
    for (std::size_t rank = 0; rank < places.size(); ++rank) {
      const std::size_t size = places.size() / static_cast<std::size_t>(nodes);  // of a node
      EXPECT_EQ(places[rank], places[rank / size * size]) << rank;
      if (rank < size) continue;
      EXPECT_NE(places[rank], places[rank - size]) << rank;
    }
  }
}

TEST_F(ParameterStoreTest, AShardAndTwoUnitsAreAllTheMemoryThatGatheringTakes) {
  const int ranks = world_.size();
  const Setting setting{.shape = {1, ranks, 1}};
  const Holder holder(grid(setting), setting, model(setting), file(setting));
  // A shard has at most one item more than its share of each piece; pieces begin at cache lines.
  const auto shard = [&](std::size_t items, std::size_t item_bytes) {
    const auto shards = static_cast<std::size_t>(ranks);
    return ((items + shards - 1) / shards * item_bytes + 63) / 64 * 64;
  };
  std::size_t shard_bytes = 0;
  std::size_t largest_unit = 0;  // of those that are gathered: the table, unit 0, is not
  for (std::size_t index = 0; index < holder.parameters.units.size(); ++index) {
    const UnitSpec& unit = holder.parameters.units[index];
    std::size_t unit_bytes = 0;
    for (const MatrixSpec& matrix : unit.matrices) {
      const std::size_t panel = holder.backend->panel_bytes(matrix.shape, matrix.layout);
      const std::size_t whole = model(setting).packed(matrix, *holder.backend, setting.cast).size();
      shard_bytes += shard(whole / panel, panel);
      unit_bytes += whole + 64 * static_cast<std::size_t>(ranks);
    }
    for (const VectorSpec& vector : unit.vectors) {
      const std::size_t size = model(setting).vector_values(vector, setting.cast).size();
      shard_bytes += shard(size, sizeof(float));
      // As shards, and put together.
      unit_bytes += 2 * size * sizeof(float) + 64 * static_cast<std::size_t>(ranks + 1);
    }
    if (index > 0) largest_unit = std::max(largest_unit, unit_bytes);
  }
  for (UnitId unit = 1; unit < static_cast<UnitId>(holder.parameters.units.size()); ++unit) {
    if (unit + 1 < static_cast<UnitId>(holder.parameters.units.size())) {
      holder.source->prefetch(unit + 1);
    }
    const UnitLease lease = holder.source->acquire(unit);
  }
  expect_rows(holder, model(setting), setting);
  EXPECT_LE(holder.source->statistics().private_bytes, shard_bytes + 2 * largest_unit);
  // A single rank has nothing to gather: it holds everything where its neighbours can see it.
  EXPECT_EQ(holder.source->statistics().shared_bytes == 0, ranks > 1);
}

TEST_F(ParameterStoreTest, EmbeddingRowsAreExchangedNotGathered) {
  const Setting setting{.shape = {1, world_.size(), 1}};
  const Holder holder(grid(setting), setting, model(setting), file(setting));
  const std::vector<TokenId> ids = {0, 70, 140, 210, 299};
  const auto rows = static_cast<std::int64_t>(ids.size());
  const Buffer memory =
      holder.backend->allocate(ids.size() * ParameterModel::kWidth * sizeof(float));
  const std::uint64_t before = holder.source->statistics().bytes_received;
  holder.source->embed(*holder.stream, ids,
                       {reinterpret_cast<float*>(memory.data()), rows, ParameterModel::kWidth,
                        ParameterModel::kWidth});
  const std::uint64_t received = holder.source->statistics().bytes_received - before;
  const std::uint64_t wanted = ids.size() * ParameterModel::kWidth * sizeof(float);
  // Each rank also learns which rows the others want of it.
  const std::uint64_t asked =
      ids.size() * sizeof(TokenId) * static_cast<std::uint64_t>(world_.size());
  EXPECT_LE(received, wanted + asked);
  EXPECT_EQ(sum_over_ranks(world_, received) > 0, world_.size() > 1);
}

TEST_F(ParameterStoreTest, TwoUnitsMayBeHeldButNotThree) {
  const Setting setting{.shape = {1, world_.size(), 1}};
  const Holder holder(grid(setting), setting, model(setting), file(setting));
  {
    const UnitLease first = holder.source->acquire(1);
    const UnitLease second = holder.source->acquire(2);
    EXPECT_THROW(static_cast<void>(holder.source->acquire(3)), InternalError);
  }
  expect_unit(holder, model(setting), setting, 3);
  expect_unit(holder, model(setting), setting, 1);
}

TEST_F(ParameterStoreTest, UnitsMayBeTakenInAnyOrderWithAndWithoutPrefetch) {
  const Setting setting{.shape = {1, world_.size(), 1}};
  const Holder holder(grid(setting), setting, model(setting), file(setting));
  for (const UnitId unit : {3, 1, 1, 4, 2}) expect_unit(holder, model(setting), setting, unit);
  // Prefetched, and then something else is wanted.
  holder.source->prefetch(1);
  holder.source->prefetch(2);
  holder.source->prefetch(3);
  for (const UnitId unit : {4, 2, 1}) expect_unit(holder, model(setting), setting, unit);
}

TEST_F(ParameterStoreTest, TpRanksHoldDifferentWeightsAndReplicasEqualOnes) {
  for (const auto& [once, place] :
       {std::pair(false, Place::host), std::pair(true, Place::host),
        std::pair(false, Place::null_device), std::pair(true, Place::null_device)}) {
    for (const GridShape& shape : test::shapes_of_this_job()) {
      const Setting setting{.shape = shape, .once = once, .place = place};
      SCOPED_TRACE(describe(setting));
      const Holder holder(grid(setting), setting, model(setting), file(setting));
      const auto hashes = all_gather_text(holder.grid.world(), holder.source->held_hash());
      for (int a = 0; a < shape.ranks(); ++a) {
        for (int b = 0; b < shape.ranks(); ++b) {
          const GridCoord at_a = coord_of(shape, a);
          const GridCoord at_b = coord_of(shape, b);
          const bool equal = at_a.tp == at_b.tp && (once || at_a.fsdp == at_b.fsdp);
          EXPECT_EQ(hashes[static_cast<std::size_t>(a)] == hashes[static_cast<std::size_t>(b)],
                    equal);
        }
      }
    }
  }
}

TEST_F(ParameterStoreTest, AMissingParameterIsTheSameErrorEverywhere) {
  const Setting setting{.shape = {1, world_.size(), 1}};
  Grid made = grid(setting);
  const auto backend = make_backend("reference", {});
  const auto stream = backend->make_stream();
  ModelParameters parameters = untied_.parameters(1, 0);
  if (world_.rank() == world_.size() - 1) parameters.stored.push_back({"layers.9.norm", {24}});
  std::string message;
  try {
    static_cast<void>(
        make_parameter_source(file(setting), parameters, made, *backend, *stream, {}));
  } catch (const FormatError& error) {
    message = error.what();
  }
  EXPECT_NE(message.find("layers.9.norm"), std::string::npos);
  EXPECT_EQ(all_gather_text(world_, message),
            std::vector<std::string>(static_cast<std::size_t>(world_.size()), message));
}

TEST_F(ParameterStoreTest, AReadErrorOfOneRankReachesAllWithinSeconds) {
  for (const bool once : {false, true}) {
    for (const Place place : {Place::host, Place::null_device}) {
      const Setting setting{.shape = {1, world_.size(), 1}, .once = once, .place = place};
      SCOPED_TRACE(describe(setting));
      // The last rank's file is cut after it was opened.
      const bool unlucky = world_.rank() == world_.size() - 1;
      const std::string copy = path_ + "cut.h5";
      if (unlucky) {
        std::filesystem::copy_file(path_ + "untied.h5", copy,
                                   std::filesystem::copy_options::overwrite_existing);
      }
      const CheckpointFile opened = unlucky ? CheckpointFile::open(copy) : file(setting);
      if (unlucky) std::filesystem::resize_file(copy, 100);
      const SteadyClock::time_point start = SteadyClock::now();
      std::string message;
      try {
        const Holder holder(grid(setting), setting, model(setting), opened);
      } catch (const FormatError& error) {
        message = error.what();
      }
      EXPECT_LT(SteadyClock::now() - start, std::chrono::seconds(5));
      EXPECT_NE(message.find("cut.h5 is cut short"), std::string::npos) << message;
      EXPECT_EQ(all_gather_text(world_, message),
                std::vector<std::string>(static_cast<std::size_t>(world_.size()), message));
    }
  }
}

TEST_F(ParameterStoreTest, ANodeWithoutRoomForItsCopyFailsEveryRank) {
  if (world_.size() == 1) return;
  // The ranks of the last of two nodes share a copy; its last rank cannot map it.
  const Setting setting{.shape = {world_.size(), 1, 1}, .nodes = 2};
  const CheckpointFile opened = file(setting);
  Grid made = grid(setting);
  const auto backend = make_backend("reference", {});
  const auto stream = backend->make_stream();
  const ModelParameters parameters = model(setting).parameters(1, 0);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  if (world_.rank() == world_.size() - 1) {
    rlimit tight = before;
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    tight.rlim_cur = pages * 4096 + (std::size_t{1} << 20);  // a copy begins at a border of 2 MiB
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &tight), 0);
  }
  std::string message;
  try {
    static_cast<void>(make_parameter_source(opened, parameters, made, *backend, *stream, {}));
  } catch (const ResourceError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_AS, &before);
  EXPECT_NE(message.find("the parameters"), std::string::npos) << message;
  EXPECT_EQ(all_gather_text(world_, message),
            std::vector<std::string>(static_cast<std::size_t>(world_.size()), message));
}

TEST_F(ParameterStoreTest, TheDominantDtypeIsThatOfMostBytes) {
  EXPECT_EQ(dominant_dtype(file({.tied = true}).parameters(), ParameterDType::checkpoint),
            DType::bf16);
  EXPECT_EQ(dominant_dtype(file({.tied = false}).parameters(), ParameterDType::checkpoint),
            DType::fp32);
  EXPECT_EQ(dominant_dtype(file({.tied = true}).parameters(), ParameterDType::fp32), DType::fp32);
  EXPECT_EQ(dominant_dtype(file({.tied = false}).parameters(), ParameterDType::bf16), DType::bf16);
  EXPECT_EQ(parameter_dtype_from_name("bf16"), ParameterDType::bf16);
  EXPECT_THROW(static_cast<void>(parameter_dtype_from_name("fp16")), UsageError);
}

}  // namespace
}  // namespace gridmill
