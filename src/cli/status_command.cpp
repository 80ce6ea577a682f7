#include <algorithm>
#include <array>
#include <cstdio>
#include <string>

#include "cli/command.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"

namespace gridmill::cli {

namespace {

struct ResultSummary {
  std::uint64_t rows = 0;
  std::array<std::uint64_t, 5> states{};   ///< by RowState
  std::array<std::uint64_t, 5> reasons{};  ///< of done rows, by FinishReason
  std::uint64_t prompt_tokens = 0;         ///< of done rows
  std::uint64_t new_tokens = 0;
  std::uint64_t partial_tokens = 0;  ///< generated ones of partial rows
};

ResultSummary summarize(const ResultFile& file) {
  ResultSummary summary{.rows = file.layout().shape.rows};
  constexpr std::uint64_t kChunk = 65536;
  for (RowId first = 0; first < summary.rows; first += kChunk) {
    const std::uint64_t count = std::min(kChunk, summary.rows - first);
    const auto states = scan_rows(file.rows(), file.layout(), first, count, {.payload = false});
    const auto records = read_records(file.rows(), file.layout(), first, count);
    for (std::uint64_t i = 0; i < count; ++i) {
      ++summary.states[static_cast<std::size_t>(states[i])];
      if (states[i] == RowState::partial) {
        summary.partial_tokens += records[i].length - records[i].prefix_length;
      }
      if (states[i] != RowState::done) continue;
      ++summary.reasons[std::min<std::size_t>(records[i].finish_reason, 4)];
      summary.prompt_tokens += records[i].prefix_length;
      summary.new_tokens += records[i].length - records[i].prefix_length;
    }
  }
  return summary;
}

}  // namespace

ExitCode run_status(const Arguments& arguments, const MpiSession* /*session*/) {
  std::string path;
  bool json = false;
  CommandSyntax syntax{.name = "status",
                       .example = "Example: gridmill status out/stories.h5",
                       .summary =
                           "How far a result file is; safe while a job writes it.\n"
                           "Exit code 0: complete, 75: rows remain."};
  syntax.arguments.add_options()("file", po::value(&path)->required());
  auto add = syntax.options.add_options();
  add("json", switch_value(&json), "one JSON object");
  syntax.positional.add("file", 1);
  if (!parse(syntax, arguments)) return ExitCode::ok;

  const ResultSummary summary = summarize(ResultFile::open(path, ResultFile::Origin::anywhere));
  const auto of = [&summary](RowState state) {
    return summary.states[static_cast<std::size_t>(state)];
  };
  const std::uint64_t left = summary.rows - of(RowState::done) - of(RowState::failed);
  const OrderedJson record = {{"rows", summary.rows},
                              {"done", of(RowState::done)},
                              {"failed", of(RowState::failed)},
                              {"partial", of(RowState::partial)},
                              {"damaged", of(RowState::damaged)},
                              {"left", left},
                              {"prompt_tokens", summary.prompt_tokens},
                              {"new_tokens", summary.new_tokens},
                              {"partial_tokens", summary.partial_tokens},
                              {"finish_reasons",
                               {{"eod", summary.reasons[1]},
                                {"stop", summary.reasons[2]},
                                {"length", summary.reasons[3]}}}};
  if (json) {
    std::fputs((record.dump() + "\n").c_str(), stdout);
  } else {
    std::fputs(
        fmt::format(
            "{}: {} of {} rows done, {} failed, {} left ({} of them begun{}); {} prompt and "
            "{} new tokens; ended by eod {}, stop {}, length {}\n",
            path, of(RowState::done), summary.rows, of(RowState::failed), left,
            of(RowState::partial),
            of(RowState::damaged) == 0 ? "" : fmt::format(", {} damaged", of(RowState::damaged)),
            summary.prompt_tokens, summary.new_tokens, summary.reasons[1], summary.reasons[2],
            summary.reasons[3])
            .c_str(),
        stdout);
  }
  return left == 0 ? ExitCode::ok : ExitCode::stopped_early;
}

}  // namespace gridmill::cli
