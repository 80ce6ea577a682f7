#include <algorithm>
#include <array>
#include <string_view>

#include "cli/options.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill::cli {

namespace {

constexpr std::array<std::string_view, 6> kMayDiffer = {"model",     "config",        "threads",
                                                        "log-level", "kernel-target", "share-gpu"};

/// The first option in which two ranks differ, told with both values; empty if there is none.
std::string difference(const Json& mine, const Json& root) {
  const auto shown = [](const Json& options, const std::string& name) {
    return options.contains(name) ? fmt::format("'{}'", options[name].get<std::string>())
                                  : std::string("not given");
  };
  Json names = mine;
  names.update(root);
  for (const auto& [name, unused] : names.items()) {
    const std::string here = shown(mine, name);
    const std::string there = shown(root, name);
    if (here != there) return fmt::format("--{} is {} here and {} on rank 0", name, here, there);
  }
  return "";
}

}  // namespace

bool parse_on_every_rank(const CommandSyntax& syntax, const Arguments& arguments,
                         const std::function<void()>& check) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  const std::optional<GivenOptions> given = agree_on(world, [&] {
    std::optional<GivenOptions> options = parse_quietly(syntax, arguments);
    if (options) check();
    return options;
  });
  Json mine = Json::object({{"help", given ? "no" : "yes"}});
  for (const auto& [name, value] : given.value_or(GivenOptions())) {
    if (std::find(kMayDiffer.begin(), kMayDiffer.end(), name) == kMayDiffer.end()) {
      mine[name] = value;
    }
  }
  std::string root = mine.dump(-1, ' ', false, Json::error_handler_t::replace);
  broadcast(world, 0, root);
  agree_on(world, [&] {
    const std::string differs = difference(
        Json::parse(mine.dump(-1, ' ', false, Json::error_handler_t::replace)), Json::parse(root));
    if (!differs.empty()) {
      throw UsageError(
          fmt::format("rank {}: {}; every rank has to be started with the same options",
                      world.rank(), differs));
    }
  });
  if (!given && world.rank() == 0) print_help(syntax, arguments);
  return given.has_value();
}

}  // namespace gridmill::cli
