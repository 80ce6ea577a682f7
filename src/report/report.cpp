#include "gridmill/report/report.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/run_log.hpp"
#include "report/markup.hpp"
#include "report/page.hpp"
#include "report/row_texts.hpp"
#include "report/sample.hpp"
#include "report/statistics.hpp"
#include "report/timeline.hpp"

namespace gridmill {

namespace {

/// The command line of the last run, for a shell; empty if the run log does not say.
std::string command_of(const std::optional<Json>& run) {
  std::vector<std::string> words;
  if (!run || !run->contains("command_line") || !(*run)["command_line"].is_array()) return "";
  for (const Json& word : (*run)["command_line"]) {
    if (word.is_string()) words.push_back(word.get<std::string>());
  }
  return report_detail::shell_line(words);
}

std::string metrics_of(const std::optional<Json>& run) {
  if (!run || !run->contains("metrics") || !(*run)["metrics"].is_string()) return "";
  return (*run)["metrics"].get<std::string>();
}

}  // namespace

struct Report::Parts {
  explicit Parts(ReportOptions given)
      : options(std::move(given)),
        result(ResultFile::open(options.file, ResultFile::Origin::anywhere)),
        run(last_run(options.file)),
        texts(result, options.model, options.prompts) {
    if (!options.metrics.empty()) return;
    const std::string recorded = metrics_of(run);
    std::error_code unreachable;
    if (std::filesystem::is_regular_file(recorded, unreachable)) {
      options.metrics = recorded;
    } else if (!recorded.empty()) {
      log::warn("{} of the last run is no file any more: the page has no speed over time",
                recorded);
    }
  }
  ReportOptions options;
  ResultFile result;
  std::optional<Json> run;
  report_detail::RowTexts texts;
};

Report::Report(ReportOptions options) : parts_(std::make_unique<const Parts>(std::move(options))) {}
Report::~Report() = default;

const std::string& Report::model_path() const { return parts_->texts.model_path(); }
const std::string& Report::prompts_path() const { return parts_->texts.prompts_path(); }
const std::string& Report::metrics_path() const { return parts_->options.metrics; }

std::string Report::page() const {
  using namespace report_detail;
  const Statistics statistics = collect_statistics(parts_->result, parts_->options.rows);
  const double now_s =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const Timeline timeline =
      read_timeline(parts_->options.file, metrics_path(), statistics.finished(), now_s);
  const PageInputs inputs{.result = parts_->result,
                          .statistics = statistics,
                          .timeline = timeline,
                          .model_path = model_path(),
                          .prompts_path = prompts_path(),
                          .command = command_of(parts_->run),
                          .snapshot_time = utc_timestamp()};
  return page_html(inputs,
                   sample_of(parts_->result, parts_->texts, statistics.sample, kSampleBytes));
}

}  // namespace gridmill
