// report_enlarge FROM.h5 TO.h5 ROWS: a result file of ROWS rows made of those of a small one, cut
// to many lengths, some of them failed, some missing: something to report on at a size that a small
// machine would take hours to generate.

#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/format.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/result_store.hpp"
#include "gridmill/results/run_log.hpp"

namespace {

using namespace gridmill;

/// One row of a thousand is missing, one of 211 failed.
void enlarge(const std::string& from, const std::string& to, std::uint64_t rows) {
  const ResultFile source = ResultFile::open(from);
  std::vector<StoredRow> stored;
  for (RowId row = 0; row < source.layout().shape.rows; ++row) {
    stored.push_back(source.read_row(row));
  }
  ResultShape shape = source.layout().shape;
  const std::uint64_t prompts = shape.rows / shape.samples_per_prompt;
  shape.samples_per_prompt = static_cast<std::uint32_t>(rows / prompts);
  shape.rows = prompts * shape.samples_per_prompt;
  JobIdentity job = source.job();
  job.fields["samples_per_prompt"] = shape.samples_per_prompt;
  ResultFile::create(to, job, shape, source.creator_version());
  std::filesystem::copy_file(run_log_path_of(from), run_log_path_of(to),
                             std::filesystem::copy_options::overwrite_existing);
  ResultStore store = ResultStore::open(to, ResultFile::open(to).layout(), {});
  for (RowId row = 0; row < shape.rows; ++row) {
    if (row % 1000 == 97) continue;
    const RowId prompt = row / shape.samples_per_prompt;
    const RowId sample = row % source.layout().shape.samples_per_prompt;
    const StoredRow& like = stored[prompt * source.layout().shape.samples_per_prompt + sample];
    RowResult result{.row = row, .prefix_length = like.record.prefix_length};
    const std::string failure = row % 2 == 0 ? fmt::format("token {} is not in the vocabulary", row)
                                             : "the prompt is longer than --max-length";
    if (row % 211 == 5) {
      result.status = RowStatus::failed;
      result.finish_reason = FinishReason::error;
      result.prefix_length = 0;
      result.failure = failure;
      store.put(result);
      continue;
    }
    const std::uint32_t fresh = like.record.length - like.record.prefix_length;
    const std::uint32_t cut = fresh == 0 ? 0 : static_cast<std::uint32_t>(row * row % fresh);
    const std::size_t length = like.record.length - (row % 3 == 0 ? 0 : cut);
    result.finish_reason = static_cast<FinishReason>(1 + row % 7 % 3);
    result.stop_index = result.finish_reason == FinishReason::stop ? 1 : 0;
    result.tokens = std::span(like.tokens).first(length);
    if (!like.logprobs.empty()) result.logprobs = std::span(like.logprobs).first(length);
    store.put(result);
  }
  store.close();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: report_enlarge FROM.h5 TO.h5 ROWS\n", stderr);
    return 64;
  }
  try {
    enlarge(argv[1], argv[2], std::stoull(argv[3]));
  } catch (const std::exception& problem) {
    std::fputs(fmt::format("report_enlarge: {}\n", problem.what()).c_str(), stderr);
    return 70;
  }
  return 0;
}
