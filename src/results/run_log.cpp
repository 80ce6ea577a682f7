#include "gridmill/results/run_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <string_view>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "side_file.hpp"

namespace gridmill {

namespace {

/// Kills leave a line or two of them. A file of millions must not keep readers busy.
constexpr int kMostUnreadableLines = 1000;

/// One line; bytes of a command line that are no UTF-8 become U+FFFD.
std::string line_of(const OrderedJson& record) {
  return record.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace

std::string run_log_path_of(const std::string& output) {
  return follow_links(output) + ".runs.jsonl";
}

RunLog::RunLog(const std::string& output) : output_(output), path_(run_log_path_of(output)) {}

RunLog::RunLog(const std::string& output, std::uint64_t begun_at)
    : output_(output), path_(run_log_path_of(output)), begun_at_(begun_at) {}

void RunLog::begin(const OrderedJson& record) {
  FileDescriptor file = results_detail::open_side_file(path_, output_, O_APPEND);
  std::string line = line_of(record);
  begun_at_ = file_size(file, path_);
  if (*begun_at_ > 0) {
    char last = '\n';
    read_exactly(file, *begun_at_ - 1, std::as_writable_bytes(std::span(&last, 1)), path_);
    if (last != '\n') {  // a kill cut the line before: leave it alone on its line
      line = fmt::format("\n{}", line);
      ++*begun_at_;
    }
  }
  // O_APPEND: the offset is ignored, the bytes go to the end.
  write_exactly(file, *begun_at_, std::as_bytes(std::span(line)), path_);
  if (::fsync(file.get()) != 0) {
    throw IoError(fmt::format("syncing {} failed: {}", path_, system_reason()));
  }
  file.close();
  sync_parent_folder(path_);
}

void RunLog::finish(const OrderedJson& record) {
  if (!begun_at_) throw InternalError("a run is finished in the run log that was not begun");
  const std::string text = results_detail::read_side_file(path_);
  const std::string_view all = text;
  const std::size_t end = all.find('\n', static_cast<std::size_t>(*begun_at_));
  if (*begun_at_ >= all.size() || end == std::string_view::npos) {
    throw IoError(fmt::format("{} lost the record of this run", path_));
  }
  write_file_atomically(path_, fmt::format("{}{}{}", all.substr(0, *begun_at_), line_of(record),
                                           all.substr(end + 1)));
}

std::vector<Json> newest_runs(const std::string& output, std::size_t most) {
  const std::string path = run_log_path_of(output);
  const std::string text = results_detail::read_side_file(path);
  std::string_view rest = text;
  std::vector<Json> runs;
  for (int unreadable = 0; unreadable < kMostUnreadableLines && runs.size() < most;) {
    const std::size_t last = rest.find_last_not_of(" \t\r\n");
    if (last == std::string_view::npos) break;
    rest = rest.substr(0, last + 1);
    const std::size_t start = rest.rfind('\n') + 1;  // npos + 1 = 0: the first line
    bool readable = false;
    try {
      Json record = parse_json(rest.substr(start), path);
      readable = record.is_object();
      if (readable) runs.push_back(std::move(record));
    } catch (const FormatError&) {  // cut short by a kill: the line before counts
    }
    if (!readable) ++unreadable;
    rest = rest.substr(0, start);
  }
  std::reverse(runs.begin(), runs.end());
  return runs;
}

void join_run_logs(const std::string& output, const std::vector<std::string>& others,
                   const OrderedJson& last) {
  struct Line {
    std::string start;
    std::string text;
  };
  std::vector<Line> lines;
  std::set<std::string> known;
  for (const std::string& other : others) {
    const std::string path = run_log_path_of(other);
    const std::string text = results_detail::read_side_file(path);
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      const std::string line(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      try {
        const Json record = parse_json(line, path);
        if (!record.is_object() || !known.insert(line).second) continue;
        const auto start = record.find("start");
        const bool said = start != record.end() && start->is_string();
        lines.push_back({said ? start->get<std::string>() : "", line});
      } catch (const FormatError&) {  // cut short by a kill
      }
    }
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.start < b.start; });
  std::string joined;
  for (const Line& line : lines) joined += line.text + "\n";
  write_file_atomically(run_log_path_of(output), joined + line_of(last));
}

std::optional<Json> last_run(const std::string& output) {
  std::vector<Json> runs = newest_runs(output, 1);
  if (runs.empty()) return std::nullopt;
  return std::move(runs.front());
}

}  // namespace gridmill
