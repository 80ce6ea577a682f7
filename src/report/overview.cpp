#include "report/overview.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "report/chart.hpp"
#include "report/markup.hpp"

namespace gridmill::report_detail {

namespace {

constexpr std::size_t kMostBins = 40;
constexpr std::size_t kMostFailuresShown = 8;
constexpr std::size_t kMostRunsShown = 40;
constexpr std::size_t kMostValueBytes = 400;

std::string tile(const std::string& value, const std::string& name, const char* more = "") {
  return fmt::format("<div class=\"tile{}\"><b>{}</b><span>{}</span></div>\n", more, value, name);
}

std::string card(const char* size, const std::string& title, const std::string& content) {
  return fmt::format("<section class=\"card{}\"><h2>{}</h2>\n{}</section>\n", size, title, content);
}

std::string sub(const std::string& text) { return fmt::format("<p class=\"sub\">{}</p>\n", text); }

std::string legend(const std::vector<Segment>& segments) {
  double sum = 0;
  for (const Segment& segment : segments) sum += segment.value;
  std::string out = "<ul class=\"legend\">";
  for (const Segment& segment : segments) {
    if (segment.value <= 0) continue;
    out += fmt::format("<li><span class=\"dot {}\"></span>{} <b>{}</b> {}</li>",
                       segment.colour.substr(2), segment.name,
                       grouped(static_cast<std::uint64_t>(segment.value)),
                       percent(segment.value / sum));
  }
  return out + "</ul>\n";
}

/// "" but for exactly one of them.
const char* plural(std::uint64_t count) { return count == 1 ? "" : "s"; }

bool is_open(const PageInputs& inputs) {
  return !inputs.timeline.runs.empty() && !inputs.timeline.runs.back().end_s;
}

double mean_of(const OrderedJson& summary, const char* name) {
  const auto found = summary.find(name);
  if (found == summary.end()) return 0;
  if (found->is_number()) return found->get<double>();
  const auto mean = found->is_object() ? found->find("mean") : found->end();
  return found->is_object() && mean != found->end() && mean->is_number() ? mean->get<double>() : 0;
}

std::string length_card(const Distribution& lengths, const char* title, const char* colour) {
  if (lengths.total() == 0) return "";
  return card("", title,
              sub(fmt::format("mean {} · median {:.0f} · 90 % at most {:.0f} · longest {:.0f}",
                              compact(lengths.mean()), lengths.quantile(.5), lengths.quantile(.9),
                              lengths.quantile(1))) +
                  histogram_svg(lengths.bins(kMostBins), {.unit = "tokens", .colour = colour}));
}

}  // namespace

std::string heading_html(const PageInputs& inputs) {
  const Statistics& numbers = inputs.statistics;
  const std::uint64_t left = numbers.rows - numbers.finished();
  const char* state = "complete";
  const char* colour = "complete";
  if (left > 0) {
    state = is_open(inputs) ? "running, or killed" : "rows remain";
    colour = is_open(inputs) ? "open" : "";
  } else if (numbers.failed > 0) {
    state = "complete, with failed rows";
    colour = "failed";
  }
  const std::string name = std::filesystem::path(inputs.result.path()).filename().string();
  return fmt::format(
      "<header><div><h1>{} <span class=\"pill {}\">{}</span></h1>\n"
      "<p class=\"sub\">{} on {} · snapshot of {}</p></div>\n"
      "<button id=\"theme\" title=\"light or dark\">◐ Theme</button></header>\n",
      isolated(name), colour, state,
      isolated(std::filesystem::path(inputs.model_path).filename().string()),
      isolated(std::filesystem::path(inputs.prompts_path).filename().string()),
      inputs.snapshot_time);
}

std::string tiles_html(const PageInputs& inputs) {
  const Statistics& numbers = inputs.statistics;
  const double rows = static_cast<double>(std::max<std::uint64_t>(1, numbers.rows));
  std::string out = "<div class=\"tiles\">\n";
  out +=
      tile(grouped(numbers.finished()), fmt::format("of {} rows finished", grouped(numbers.rows)));
  out += tile(percent(static_cast<double>(numbers.finished()) / rows), "of the job");
  out += tile(grouped(numbers.failed), fmt::format("failed row{}", plural(numbers.failed)),
              numbers.failed > 0 ? " bad" : "");
  out += tile(compact(static_cast<double>(numbers.new_tokens)), "tokens generated");
  out += tile(compact(static_cast<double>(numbers.prompt_tokens)), "prompt tokens");
  const double active_s = inputs.timeline.active_s();
  if (active_s > 0) {
    const bool bound = inputs.timeline.has_killed_runs();
    out += tile(compact(static_cast<double>(numbers.new_tokens) / active_s),
                bound ? "tokens/s or more" : "tokens/s while it ran");
    out += tile(duration_text(active_s),
                fmt::format("{}in {} run{}", bound ? "at most, " : "", inputs.timeline.runs.size(),
                            plural(inputs.timeline.runs.size())));
  }
  return out + "</div>\n";
}

std::string progress_card(const PageInputs& inputs) {
  const Timeline& timeline = inputs.timeline;
  if (timeline.runs.empty()) {
    return card(" wide", "Progress",
                sub("There is no run log beside the file, so the page has no times."));
  }
  const std::size_t restarts = timeline.runs.size() - 1;
  std::string content =
      sub(fmt::format("finished rows since {}, {} restart{}", escape(timeline.runs.front().start),
                      restarts, plural(restarts))) +
      progress_svg(timeline, static_cast<double>(inputs.statistics.rows));
  const std::string speed = speed_svg(timeline);
  if (!speed.empty()) content += sub("generated tokens a second") + speed;
  return card(" wide", "Progress", content);
}

std::string reasons_card(const PageInputs& inputs) {
  const Statistics& numbers = inputs.statistics;
  std::vector<Segment> segments;
  constexpr std::array<Stratum, kStrata> kAll = {Stratum::eod, Stratum::stop, Stratum::length,
                                                 Stratum::failed};
  constexpr std::array<const char*, kStrata> kNames = {"end token", "stop", "length limit",
                                                       "failed"};
  for (std::size_t i = 0; i < kStrata; ++i) {
    segments.push_back(
        {kNames[i], fmt::format("f-{}", name_of(kAll[i])), static_cast<double>(numbers.strata[i])});
  }
  segments.push_back(
      {"not finished", "f-left", static_cast<double>(numbers.rows - numbers.finished())});
  std::string more;
  if (numbers.partial > 0) {
    more += sub(fmt::format("{} of the unfinished rows are begun", grouped(numbers.partial)));
  }
  if (numbers.damaged > 0) {
    more += sub(fmt::format("{} records are damaged; the next run generates these rows again",
                            grouped(numbers.damaged)));
  }
  return card(" wide", "How rows ended", stacked_bar_svg(segments) + legend(segments) + more);
}

std::string lengths_cards(const PageInputs& inputs) {
  return length_card(inputs.statistics.new_lengths, "Generated tokens a row", "f-new") +
         length_card(inputs.statistics.prompt_lengths, "Prompt tokens a row", "f-prompt");
}

std::string logprobs_card(const PageInputs& inputs) {
  const Distribution& negative = inputs.statistics.negative_logprobs;
  if (negative.total() == 0) return "";
  return card(
      "", "Log-probability of generated tokens",
      sub(fmt::format("mean {:.3f} · median {:.2f} · one in ten below {:.2f}; the first "
                      "bar holds everything below it",
                      -negative.mean(), -negative.quantile(.5), -negative.quantile(.9))) +
          histogram_svg(negative.bins(kMostBins, .995),
                        {.unit = "logprob", .colour = "f-new", .negated = true, .decimals = 1}));
}

std::string failures_card(const PageInputs& inputs) {
  const Statistics& numbers = inputs.statistics;
  if (numbers.failed == 0) return "";
  std::string content = sub(fmt::format("{} of {} rows; numbers in a reason are shown as N",
                                        grouped(numbers.failed), grouped(numbers.rows)));
  std::uint64_t shown = 0;
  for (std::size_t i = 0; i < std::min(kMostFailuresShown, numbers.failures.size()); ++i) {
    const FailureGroup& group = numbers.failures[i];
    shown += group.count;
    content += fmt::format(
        "<div class=\"failure\"><p><b>{}</b> × {}</p><div class=\"track\"><i "
        "style=\"width:{:.1f}%\"></i></div>",
        grouped(group.count), isolated(group.reason),
        100 * static_cast<double>(group.count) / static_cast<double>(numbers.failed));
    std::string rows;
    for (const FailureGroup::Example& example : group.examples) {
      rows += fmt::format("{}row {}: {}", rows.empty() ? "" : "<br>", example.row,
                          isolated(example.text));
    }
    content += fmt::format("<p class=\"sub\">{}</p></div>\n", rows);
  }
  if (shown < numbers.failed) {
    content +=
        sub(fmt::format("and {} rows with other reasons; gridmill export --only failed "
                        "lists them",
                        grouped(numbers.failed - shown)));
  }
  return card("", "Failed rows", content);
}

std::string time_card(const PageInputs& inputs) {
  const OrderedJson* summary = nullptr;
  for (const RunSpan& run : inputs.timeline.runs) {
    if (run.summary) summary = &*run.summary;
  }
  if (summary == nullptr) return "";
  const std::vector<Segment> segments = {
      {"open files", "f-other", mean_of(*summary, "open_s")},
      {"load parameters", "f-stop", mean_of(*summary, "load_s")},
      {"compute", "f-new", mean_of(*summary, "compute_s")},
      {"wait for prompts", "f-length", mean_of(*summary, "prompt_wait_s")},
      {"idle at the end", "f-failed", mean_of(*summary, "tail_idle_s")},
      {"last commit", "f-eod", mean_of(*summary, "finish_s")},
  };
  std::string items = "<ul class=\"legend\">";
  for (const Segment& segment : segments) {
    if (segment.value <= 0) continue;
    items += fmt::format("<li><span class=\"dot {}\"></span>{} <b>{}</b></li>",
                         segment.colour.substr(2), segment.name, duration_text(segment.value));
  }
  constexpr double kMebibyte = 1024.0 * 1024.0;
  return card(
      "", "Where the time went",
      sub(fmt::format("mean over the ranks of the last run with metrics ({:.0f}); idle {} · "
                      "{} passes · {:.0f} MiB memory a rank",
                      mean_of(*summary, "ranks"), percent(mean_of(*summary, "idle_share")),
                      compact(mean_of(*summary, "passes")),
                      mean_of(*summary, "peak_resident_bytes") / kMebibyte)) +
          stacked_bar_svg(segments) + items + "</ul>\n");
}

std::string runs_card(const PageInputs& inputs) {
  const std::vector<RunSpan>& runs = inputs.timeline.runs;
  if (runs.empty()) return "";
  const std::size_t first = runs.size() - std::min(kMostRunsShown, runs.size());
  std::string table =
      "<div class=\"scroll\"><table><tr><th>run<th>start (UTC)<th class=\"number\">time<th "
      "class=\"number\">rows<th>end<th>dp × fsdp × tp<th class=\"number\">nodes<th>host<th>"
      "backend<th>version</tr>\n";
  for (std::size_t i = first; i < runs.size(); ++i) {
    const RunSpan& run = runs[i];
    const bool is_last = i + 1 == runs.size();
    std::string end = is_last ? "no end recorded: it runs, or was killed" : "killed";
    if (run.exit_code) {
      const char* meaning = *run.exit_code == 0    ? ", complete"
                            : *run.exit_code == 1  ? ", failed rows"
                            : *run.exit_code == 75 ? ", stopped early"
                                                   : "";
      end = fmt::format("exit {}{}", *run.exit_code, meaning);
    }
    if (!run.error.empty()) {
      end += fmt::format(": {}", isolated(shortened(run.error, kMostValueBytes)));
    }
    table += fmt::format(
        "<tr><td>{}<td>{}<td class=\"number\">{}<td class=\"number\">+{}<td>{}<td>{}<td "
        "class=\"number\">{}<td>{}<td>{}<td>{}</tr>\n",
        i + 1, escape(run.start),
        run.end_s || is_last ? duration_text(run.points.back().time_s - run.start_s) : "unknown",
        grouped(std::max(run.rows_after, run.rows_found) - run.rows_found), end, escape(run.grid),
        run.nodes, isolated(run.host), escape(run.backend), escape(run.version));
  }
  return card(" wide", "Runs",
              (first > 0 ? sub(fmt::format("the newest {} of {}", kMostRunsShown, runs.size()))
                         : std::string()) +
                  table + "</table></div>\n");
}

std::string identity_card(const PageInputs& inputs) {
  std::string keys = "<table class=\"keys\">\n";
  const auto line = [&keys](const std::string& name, const std::string& value) {
    keys += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escape(name),
                        isolated(shortened(value, kMostValueBytes)));
  };
  line("result file", inputs.result.path());
  line("model file", inputs.model_path);
  line("prompt file", inputs.prompts_path);
  line("written by", "gridmill " + inputs.result.creator_version());
  for (const auto& [name, value] : inputs.result.job().fields.items()) {
    line(name, value.is_string() ? value.get<std::string>()
                                 : value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  std::string content =
      sub("equal jobs give equal bytes: everything that influences a row stands here");
  if (!inputs.command.empty()) {
    content += fmt::format(
        "<pre class=\"command\" id=\"command\">{}</pre>\n"
        "<p><button data-copy=\"command\">Copy the command of the last run</button></p>\n",
        escape(inputs.command));
  }
  return card(" wide", "The job", content + "<div class=\"scroll\">" + keys + "</table></div>\n");
}

}  // namespace gridmill::report_detail
