#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace gridmill {

struct ReportOptions {
  std::string file;   ///< result file
  std::string model;  ///< empty = where the last run found it; so for the next two
  std::string prompts;
  std::string metrics;
  std::uint32_t rows = 200;  ///< rows of the sample, at most
};

/// A result file as one self-contained HTML page, for a browser without network: progress, speed,
/// lengths, finish reasons, failures, log-probabilities, and a sample of the rows with their texts.
/// Safe while a job writes the file; the page is then a snapshot.
class Report {
 public:
  /// Opens the files and checks by hash that model and prompts are those of the job.
  /// @throws MissingInputError, FormatError; UsageError if nothing says where model and prompts
  /// are.
  explicit Report(ReportOptions options);
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  [[nodiscard]] const std::string& model_path() const;
  [[nodiscard]] const std::string& prompts_path() const;
  /// Empty without a metrics file.
  [[nodiscard]] const std::string& metrics_path() const;
  /// Reads every record once and the sampled rows; memory does not grow with the number of rows.
  /// @throws IoError, FormatError
  [[nodiscard]] std::string page() const;

 private:
  struct Parts;
  std::unique_ptr<const Parts> parts_;
};

}  // namespace gridmill
