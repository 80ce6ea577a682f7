#pragma once

#include <string>

#include "gridmill/results/result_file.hpp"
#include "report/statistics.hpp"
#include "report/timeline.hpp"

namespace gridmill::report_detail {

/// Inputs of the parts of a page.
struct PageInputs {
  const ResultFile& result;
  const Statistics& statistics;
  const Timeline& timeline;
  std::string model_path;
  std::string prompts_path;
  std::string command;        ///< of the last run; empty if there is none
  std::string snapshot_time;  ///< UTC
};

// Parts of the page as HTML, each whole in itself; empty where there is nothing to show.

/// Name, state, and when the page was made.
[[nodiscard]] std::string heading_html(const PageInputs& inputs);
/// The most important numbers.
[[nodiscard]] std::string tiles_html(const PageInputs& inputs);
[[nodiscard]] std::string progress_card(const PageInputs& inputs);
[[nodiscard]] std::string reasons_card(const PageInputs& inputs);
[[nodiscard]] std::string lengths_cards(const PageInputs& inputs);
[[nodiscard]] std::string logprobs_card(const PageInputs& inputs);
[[nodiscard]] std::string failures_card(const PageInputs& inputs);
/// Share of the time in stages, of the last run that has a summary of --metrics.
[[nodiscard]] std::string time_card(const PageInputs& inputs);
[[nodiscard]] std::string runs_card(const PageInputs& inputs);
[[nodiscard]] std::string identity_card(const PageInputs& inputs);

}  // namespace gridmill::report_detail
