#include "cli/plan_options.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "gridmill/base/error.hpp"

namespace gridmill::cli {

namespace {

po::typed_value<std::string>* integer(int* target, const char* option) {
  return po::value<std::string>()->value_name("N")->notifier(
      [target, option](const std::string& text) { *target = positive_integer(option, text); });
}

/// Of the grid, which plan chooses; the second says whether a value follows.
struct GridOption {
  std::string_view name;
  bool has_value;
};
constexpr std::array<GridOption, 4> kGridOptions = {
    {{"dp", true}, {"fsdp", true}, {"tp", true}, {"gather-params-once", false}}};

}  // namespace

po::options_description plan_options(PlanOptions& plan) {
  po::options_description options("What is planned");
  auto add = options.add_options();
  add("nodes", integer(&plan.nodes, "--nodes"), "nodes of the job; default 1");
  add("ranks-per-node", integer(&plan.ranks_per_node, "--ranks-per-node"),
      "ranks of a node; default: what the grid needs, else every divisor of --cores is tried");
  add("cores", integer(&plan.cores, "--cores"), "cores of a node");
  add("memory",
      po::value<std::string>()->value_name("SIZE")->notifier(
          [&plan](const std::string& text) { plan.memory_bytes = byte_count("--memory", text); }),
      "memory of a node for the job, e.g. 256G");
  add("here", switch_value(&plan.here), "one node like this machine, with the memory it has now");
  add("rows", po::value<std::string>()->value_name("N")->notifier([&plan](const std::string& text) {
    plan.rows = static_cast<std::uint64_t>(positive_integer("--rows", text));
  }),
      "rows of the job; default: what --prompts and --samples-per-prompt give");
  add("prompt-tokens", integer(&plan.prompt_tokens, "--prompt-tokens"),
      "tokens of a prompt; default: those of --prompts");
  add("new-tokens", integer(&plan.new_tokens, "--new-tokens"),
      "tokens that a row gets; default: as many as its limits allow");
  add("dtype", po::value(&plan.dtype)->value_name("TYPE"),
      "fp32, bf16: as gridmill convert --dtype; of a config.json only");
  add("weights", po::value(&plan.weights)->value_name("CODES"),
      "int8, int4: as gridmill convert --weights; of a config.json only");
  add("limits", po::value(&plan.limits)->value_name("FILE.json"),
      "limits of a node: a line of gridmill bench, or what plan --calibrate --json has printed");
  add("calibrate", switch_value(&plan.calibrate),
      "measure the limits of this machine and a short job of the model with random weights");
  add("top", integer(&plan.top, "--top"), "grids that are shown, the best first; default 5");
  add("json", switch_value(&plan.json), "one JSON object");
  return options;
}

void check_plan_options(const PlanOptions& plan) {
  const bool described = plan.cores > 0 || plan.memory_bytes > 0 || plan.nodes > 0;
  if (plan.here && described) {
    throw UsageError(
        "--here excludes --nodes, --cores and --memory: it takes those of this machine");
  }
  if (!plan.here && (plan.cores == 0 || plan.memory_bytes == 0)) {
    throw UsageError("--cores and --memory of a node are missing; or give --here");
  }
  if (plan.calibrate && !plan.here) {
    throw UsageError(
        "--calibrate measures this machine and needs --here; for other nodes run gridmill plan "
        "--here --calibrate --json on one of them and give what it prints as --limits");
  }
  if (plan.calibrate && !plan.limits.empty()) {
    throw UsageError("--calibrate and --limits exclude each other");
  }
  if (!plan.dtype.empty()) require_one_of("--dtype", plan.dtype, {"fp32", "bf16"});
  if (!plan.weights.empty()) require_one_of("--weights", plan.weights, {"int8", "int4"});
}

Arguments generate_arguments(const Arguments& arguments) {
  PlanOptions unused;
  const po::options_description own = plan_options(unused);
  Arguments kept;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const std::string name =
        argument.starts_with("--") ? argument.substr(2, argument.find('=') - 2) : "";
    const bool joined = argument.find('=') != std::string::npos;
    const auto* const grid =
        std::find_if(kGridOptions.begin(), kGridOptions.end(),
                     [&name](const GridOption& option) { return option.name == name; });
    const po::option_description* const found =
        name.empty() ? nullptr : own.find_nothrow(name, false);
    if (grid == kGridOptions.end() && found == nullptr) {
      kept.push_back(argument);
      continue;
    }
    // A switch takes a value behind = only.
    const bool has_value = found != nullptr ? found->semantic()->min_tokens() > 0 : grid->has_value;
    if (has_value && !joined) ++i;
  }
  return kept;
}

}  // namespace gridmill::cli
