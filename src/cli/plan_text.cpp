#include "cli/plan_text.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>

#include "gridmill/base/format.hpp"
#include "gridmill/bench/roofline.hpp"
#include "gridmill/plan/plan_json.hpp"

namespace gridmill::cli {

namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

/// "1.5 GiB", or smaller units where that would be 0.
std::string size_text(double bytes) {
  constexpr std::string_view kUnits = "KMGT";
  double value = bytes / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}iB", value, kUnits[unit]);
}
std::string size_text(std::uint64_t bytes) { return size_text(static_cast<double>(bytes)); }

/// "3 h 12 min", "12 min", "40 s"
std::string time_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  if (whole >= 3600) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  if (whole >= 120) return fmt::format("{} min", whole / 60);
  return fmt::format("{} s", whole);
}

std::string grid_text(const GridChoice& choice) {
  return fmt::format("--dp {} --fsdp {} --tp {}{}", choice.grid.dp, choice.grid.fsdp,
                     choice.grid.tp, choice.gather_once ? " --gather-params-once" : "");
}

/// A word of a shell line.
std::string quoted(const std::string& word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("-_=./:,@+%").find(c) != std::string_view::npos;
  });
  if (plain) return word;
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'') text.append("'\\'");  // an end, a quote of its own, and a beginning
    text.push_back(c);
  }
  text.push_back('\'');
  return text;
}

double mean_of(const PlanReport& report, std::int64_t RowLength::*field) {
  double sum = 0;
  for (const RowLength& length : report.request.lengths) {
    sum += static_cast<double>(length.*field);
  }
  return sum / static_cast<double>(report.request.lengths.size());
}

std::string memory_lines(const PlanReport& report, const GridPlan& plan) {
  const RankMemory& rank = plan.rank;
  std::string lines = fmt::format(
      "  memory    a node: {} of {}; a rank: {} (process {}, ", size_text(plan.node_bytes),
      size_text(report.machine.memory_bytes), size_text(rank.resident()), size_text(rank.process));
  if (rank.shared_parameters > 0) {
    lines += fmt::format("parameters {}, one copy a node{}, ", size_text(rank.shared_parameters),
                         plan.choice.grid.tp > 1 ? " and tp rank" : "");
  } else {
    lines += fmt::format("parameters {}: a shard and two gathered layers, ",
                         size_text(rank.private_parameters));
  }
  lines +=
      fmt::format("states {}, passes {})\n", size_text(rank.states), size_text(rank.workspace));
  lines += fmt::format(
      "            states of a row of {} tokens: {} a rank; a rank gives states {} at most\n",
      report.request.slots.max_length, size_text(plan.row_bytes), size_text(plan.state_room_bytes));
  return lines;
}

std::string plan_lines(const PlanReport& report, const GridPlan& plan) {
  std::string lines = fmt::format("  grid      {}: {} ranks a node, {} threads a rank\n",
                                  grid_text(plan.choice), plan.choice.ranks_per_node, plan.threads);
  if (!plan.fits()) return lines + "  does not fit: " + plan.refusal + "\n";
  lines += memory_lines(report, plan);
  lines += fmt::format(
      "  rows      {} slots a replica, {} of the longest rows; {} replicas, {} rows each\n",
      plan.slots.slots, plan.slots.whole_slots(), plan.replicas(), plan.replica_rows);
  lines += fmt::format("  passes    {:.0f} a replica, of {:.1f} tokens{}\n", plan.passes.passes,
                       plan.passes.fed_tokens / std::max(plan.passes.passes, 1.0),
                       plan.passes.preempted_rows >= 1
                           ? fmt::format("; {:.0f} times a row gives way in a full KV cache",
                                         plan.passes.preempted_rows)
                           : "");
  lines += fmt::format(
      "  traffic   {} read from the checkpoint, {} between nodes to load, {} between ranks in "
      "passes\n",
      size_text(plan.bytes_read), size_text(plan.load_bytes), size_text(plan.exchanged_bytes));
  if (plan.times) {
    lines += fmt::format(
        "  time      {}{}, {:.0f} new tokens/s; memory limits {:.0f} % of passes\n",
        report.request.speed->share < 1 ? "about " : "at least ", time_text(plan.times->generate_s),
        plan.times->tokens_per_s, 100 * plan.times->moving_share);
  }
  return lines + "  start     " + sbatch_line(report, plan) + "\n";
}

std::string head(const PlanReport& report) {
  const PlanRequest& request = report.request;
  const ResultSize result = result_size(request.result, request.mean_tokens());
  std::string text = fmt::format(
      "model       {}: {}, {} of parameters, computes in {}\n", report.source,
      request.model.model->info().family, size_text(request.model.stored_bytes()),
      request.backend.numerics_id().ends_with("int8") ? "int8"
                                                      : name_of(request.backend.compute_dtype()));
  text += fmt::format(
      "job         {} rows of up to {} tokens; on average {:.0f} of the prompt and {:.0f} "
      "generated\n",
      request.result.rows, request.slots.max_length, mean_of(report, &RowLength::prompt),
      mean_of(report, &RowLength::generated));
  text += fmt::format("result      {}, {} of it on disk\n", size_text(result.apparent_bytes),
                      size_text(result.disk_bytes));
  text += fmt::format("machine     {} node{} of {} cores and {}\n", report.machine.nodes,
                      report.machine.nodes == 1 ? "" : "s", report.machine.cores,
                      size_text(report.machine.memory_bytes));
  if (request.speed) {
    const MachineLimits& limits = request.speed->limits;
    text += fmt::format(
        "limits      of a node: reads {:.0f} GB/s, updates {:.0f} GB/s, bf16 {:.0f} Gflop/s, fp32 "
        "{:.0f} Gflop/s ({}); {}\n",
        limits.read_bytes_per_s / 1e9, limits.update_bytes_per_s / 1e9,
        limits.bf16_flop_per_s / 1e9, limits.fp32_flop_per_s / 1e9, request.speed->source,
        request.speed->share < 1
            ? fmt::format("a job reaches {:.0f} % of them", 100 * request.speed->share)
            : std::string("times are the least that they allow"));
  } else {
    text +=
        "limits      not measured, so there are no times: --limits takes those of a node, "
        "--calibrate "
        "measures those of this machine\n";
  }
  for (const std::string& note : report.notes) text += "note        " + note + "\n";
  return text;
}

}  // namespace

std::string sbatch_line(const PlanReport& report, const GridPlan& plan) {
  std::string line = fmt::format(
      "sbatch --nodes={} --ntasks-per-node={} --cpus-per-task={} --mem={}M", report.machine.nodes,
      plan.choice.ranks_per_node, plan.threads, report.machine.memory_bytes >> 20);
  if (plan.times) {
    // A quarter more, and five minutes to start: a job that is stopped goes on anyway.
    const double minutes = plan.times->generate_s * 1.25 / 60 + 5;
    line += fmt::format(" --time={}", static_cast<std::int64_t>(std::ceil(minutes)));
  }
  line += " slurm/generate.sbatch";
  const Arguments& words = report.arguments;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool model = i > 0 && words[i - 1] == "--model";
    const bool joined = words[i].starts_with("--model=");
    if (!report.is_checkpoint && (model || joined)) {
      line.append(joined ? " --model=MODEL.h5" : " MODEL.h5");
    } else {
      line.append(fmt::format(" {}", quoted(words[i])));
    }
  }
  return fmt::format("{} {}", line, grid_text(plan.choice));
}

std::string plan_text(const PlanReport& report) {
  const GridPlan& best = report.grids.front();
  std::string text = head(report);
  text += best.fits() ? "\nbest\n" : "\nno grid fits; the nearest\n";
  if (report.grids.size() == 1) text = head(report) + "\nplan\n";
  text += plan_lines(report, best);
  const std::size_t shown =
      std::min(report.grids.size(), static_cast<std::size_t>(std::max(report.top, 1)));
  if (shown > 1) text += "\nothers\n";
  for (std::size_t i = 1; i < shown; ++i) {
    const GridPlan& plan = report.grids[i];
    text += fmt::format("  {}, {} ranks a node: {}\n", grid_text(plan.choice),
                        plan.choice.ranks_per_node, why_behind(plan, best));
  }
  const auto misfits = std::count_if(report.grids.begin(), report.grids.end(),
                                     [](const GridPlan& plan) { return !plan.fits(); });
  if (report.grids.size() > shown) {
    text += fmt::format("  and {} more, {} of all {} do not fit (--top N shows more)\n",
                        report.grids.size() - shown, misfits, report.grids.size());
  }
  return text;
}

OrderedJson plan_json(const PlanReport& report) {
  const PlanRequest& request = report.request;
  const ResultSize result = result_size(request.result, request.mean_tokens());
  OrderedJson fields = {
      {"model", report.source},
      {"family", request.model.model->info().family},
      {"parameter_bytes", request.model.stored_bytes()},
      {"compute_dtype", name_of(request.backend.compute_dtype())},
      {"numerics", request.backend.numerics_id()},
      {"rows", request.result.rows},
      {"max_length", request.slots.max_length},
      {"prompt_tokens", mean_of(report, &RowLength::prompt)},
      {"new_tokens", mean_of(report, &RowLength::generated)},
      {"result_bytes", result.apparent_bytes},
      {"result_disk_bytes", result.disk_bytes},
      {"machine",
       {{"nodes", report.machine.nodes},
        {"cores", report.machine.cores},
        {"memory", report.machine.memory_bytes}}},
      {"limits", request.speed ? to_json(request.speed->limits) : OrderedJson()},
      {"share_of_limits", request.speed ? OrderedJson(request.speed->share) : OrderedJson()},
      {"notes", report.notes}};
  OrderedJson grids = OrderedJson::array();
  const std::size_t shown =
      std::min(report.grids.size(), static_cast<std::size_t>(std::max(report.top, 1)));
  for (std::size_t i = 0; i < shown; ++i) {
    const GridPlan& plan = report.grids[i];
    OrderedJson grid = to_json(plan);
    if (i > 0) grid["why_not_first"] = why_behind(plan, report.grids.front());
    if (plan.fits()) grid["sbatch"] = sbatch_line(report, plan);
    grids.push_back(grid);
  }
  fields["grids_tried"] = report.grids.size();
  fields["grids"] = grids;
  return fields;
}

}  // namespace gridmill::cli
