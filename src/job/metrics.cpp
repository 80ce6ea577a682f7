#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/grid/collectives.hpp"
#include "job/metrics_detail.hpp"
#include "job/prometheus.hpp"

namespace gridmill::job_detail {

namespace {
constexpr double kRecordInterval_s = 10.0;
}  // namespace

MetricsWriter::MetricsWriter(std::string path, std::string output, std::uint64_t rows_total)
    : path_(std::move(path)), output_(std::move(output)), rows_total_(rows_total) {
  if (path_.empty()) return;
  if (is_prometheus_file(path_)) {
    write(interval({}));  // says now whether it can be written
    return;
  }
  file_.open(path_, std::ios::app);  // a link is followed, a device or FIFO written as it comes
  if (!file_) throw OutputError(fmt::format("cannot write --metrics {}", path_));
}

void MetricsWriter::update(const ProgressCounts& counts) {
  if (path_.empty() || seconds_since(last_) < kRecordInterval_s) return;
  last_ = SteadyClock::now();
  write(interval(counts));
}

void MetricsWriter::finish(const OrderedJson& summary, const ProgressCounts& counts) {
  if (path_.empty()) return;
  if (!is_prometheus_file(path_)) {
    write(summary);
    return;
  }
  // The file holds one state only, so the last one has what intervals say, too.
  OrderedJson record = interval(counts);
  for (const auto& [name, value] : summary.items()) record[name] = value;
  write(record);
}

OrderedJson MetricsWriter::interval(const ProgressCounts& counts) const {
  const double elapsed_s = seconds_since(start_);
  return {{"record", "interval"},
          {"time", utc_timestamp()},
          {"elapsed_s", elapsed_s},
          {"rows_total", rows_total_},
          {"rows_done", counts.rows_done},
          {"rows_failed", counts.rows_failed},
          {"prompt_tokens", counts.prompt_tokens},
          {"shared_prompt_tokens", counts.shared_prompt_tokens},
          {"new_tokens", counts.new_tokens},
          {"new_tokens_per_s", static_cast<double>(counts.new_tokens) / std::max(elapsed_s, 1e-9)}};
}

void MetricsWriter::write(const OrderedJson& record) {
  if (is_prometheus_file(path_)) {
    write_file_atomically(path_, prometheus_text(record, output_));
    return;
  }
  file_ << record.dump() << "\n";
  if (!file_.flush()) throw IoError(fmt::format("writing {} failed", path_));
}

OrderedJson summarize(RunContext& context, const Replica& replica, const StageTimes& stages,
                      const StoreCounters& store, std::optional<std::uint64_t> predicted_bytes) {
  const Communicator& world = context.grid().world();
  const GeneratorStatistics& generator = replica.statistics();
  const ReplicaTimes& times = replica.times();
  const ParameterStatistics parameters = context.parameters().statistics();
  const double idle_s = times.idle_s + times.prompt_wait_s + stages.tail_idle_s;
  const double whole_s = times.compute_s + idle_s;
  std::vector<std::pair<const char*, double>> values = {
      {"open_s", stages.open_s},
      {"load_s", stages.load_s},
      {"generate_s", stages.generate_s},
      {"finish_s", stages.finish_s},
      {"compute_s", times.compute_s},
      {"idle_share", whole_s > 0 ? idle_s / whole_s : 0.0},
      {"tail_idle_s", stages.tail_idle_s},
      {"prompt_wait_s", times.prompt_wait_s},
      {"parameter_bytes_read", static_cast<double>(parameters.bytes_read)},
      {"parameter_bytes_received", static_cast<double>(parameters.bytes_received)},
      {"exchange_bytes_received", static_cast<double>(context.tp_exchange().bytes_received())},
      {"parameter_memory_private", static_cast<double>(parameters.private_bytes)},
      {"parameter_memory_shared", static_cast<double>(parameters.shared_bytes)},
      {"peak_resident_bytes", static_cast<double>(peak_resident_bytes())},
      {"commit_sync_s", store.sync_s}};
  if (predicted_bytes) {
    values.emplace_back("predicted_resident_bytes", static_cast<double>(*predicted_bytes));
  }
  std::vector<double> numbers;
  numbers.reserve(values.size());
  for (const auto& [name, value] : values) numbers.push_back(value);
  const std::vector<Spread> spreads = spread_over_ranks(world, numbers);
  // A tp group works on the same rows: its leader's counters stand for it.
  const auto leaders_sum = [&](std::int64_t value) {
    return sum_over_ranks(world, context.is_leader() ? static_cast<std::uint64_t>(value) : 0);
  };
  OrderedJson summary = {{"record", "summary"}, {"time", utc_timestamp()}};
  summary["ranks"] = world.size();
  summary["rows_done"] = leaders_sum(generator.completed_rows - generator.failed_rows);
  summary["passes"] = leaders_sum(generator.passes);
  summary["mixed_passes"] = leaders_sum(generator.mixed_passes);
  summary["slot_refills"] = leaders_sum(generator.refills);
  summary["preempted_rows"] = leaders_sum(generator.preempted_rows);
  summary["prompt_tokens"] = leaders_sum(generator.prompt_tokens);
  summary["shared_prompt_tokens"] = leaders_sum(generator.shared_tokens);
  summary["refed_tokens"] = leaders_sum(generator.refed_tokens);
  summary["new_tokens"] = leaders_sum(generator.new_tokens);
  summary["parameter_bytes"] = parameters.checkpoint_bytes;
  const std::vector<std::string> hashes = all_gather_text(world, context.parameters().held_hash());
  summary["distinct_parameter_shards"] = std::set<std::string>(hashes.begin(), hashes.end()).size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    summary[values[i].first] = {
        {"min", spreads[i].min}, {"mean", spreads[i].mean}, {"max", spreads[i].max}};
  }
  const double generate_s = std::max(spreads[2].max, 1e-9);
  summary["new_tokens_per_s"] = summary["new_tokens"].get<double>() / generate_s;
  return summary;
}

}  // namespace gridmill::job_detail
