#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill {

/// How tokens of a row are selected: what --temperature and its relatives say, and what a record
/// may override. Their meaning and order: docs/numerics.md, section 7.
struct SamplingOptions {
  float temperature = 1;
  std::int32_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::map<TokenId, float> logit_bias{};
  std::vector<TokenId> banned_token_ids{};
  /// Empty = all.
  std::vector<TokenId> allowed_token_ids{};
  std::uint64_t seed = 0;
  bool operator==(const SamplingOptions& other) const = default;
};

/// Where a row ends.
struct RowLimits {
  /// Generated tokens at most.
  std::optional<std::int64_t> max_new_tokens{};
  /// Generated tokens that do not end the row.
  std::int64_t min_new_tokens = 0;
  std::vector<TokenId> eod_token_ids{};
  std::vector<TokenId> stop_token_ids{};
  std::vector<std::string> stop{};
  bool operator==(const RowLimits& other) const = default;
};

/// One option: the only place with its names, its help and its range.
struct OptionField {
  /// "top-p"; empty = no option of its own.
  const char* option = "";
  /// In the job attribute of a result file.
  const char* name = "";
  /// In a record; empty = not for a single row.
  const char* record_name = "";
  const char* value_name = "";
  const char* help = "";
  /// May be given several times on the command line.
  bool repeatable = false;
};

/// The options of SamplingOptions and of RowLimits, in the order of the help.
[[nodiscard]] std::span<const OptionField> sampling_fields();
[[nodiscard]] std::span<const OptionField> limit_fields();

/// Sets what `field` names from the texts given for it on the command line.
/// @throws UsageError that names the option, for what is no value of its kind or out of range.
void set_from_text(SamplingOptions& options, const OptionField& field,
                   const std::vector<std::string>& texts);
void set_from_text(RowLimits& limits, const OptionField& field,
                   const std::vector<std::string>& texts);

/// The same from JSON, as to_json() writes it and records give it.
/// @throws UsageError that names the field.
void set_from_json(SamplingOptions& options, const OptionField& field, const Json& value);
void set_from_json(RowLimits& limits, const OptionField& field, const Json& value);

/// The first field in which two differ; nullptr if they are equal.
[[nodiscard]] const OptionField* first_difference(const SamplingOptions& left,
                                                  const SamplingOptions& right);
[[nodiscard]] const OptionField* first_difference(const RowLimits& left, const RowLimits& right);

/// Adds the fields to `job`, the identity of a run. Options that version 1 files do not have are
/// left out where they have their default, so that those files go on.
void write_identity(const SamplingOptions& options, Json& job);
void write_identity(const RowLimits& limits, Json& job);
/// Reads the output of write_identity(). @throws UsageError, Json::exception
[[nodiscard]] SamplingOptions read_sampling_identity(const Json& job);
[[nodiscard]] RowLimits read_limits_identity(const Json& job);

/// @throws UsageError where ids lie outside [0, vocab_size), all of them are forbidden, or top-p
/// meets a vocabulary whose sums would overflow. Names options, or with `in_record` fields.
void check_against_vocabulary(const SamplingOptions& options, const RowLimits& limits,
                              std::int64_t vocab_size, bool in_record);

/// Replaces options by what the sampling object of a record says.
/// @return the seed, if it says one.
/// @throws UsageError that names a field that is unknown, of the wrong type or out of range.
[[nodiscard]] std::optional<std::uint64_t> override_from_record(const Json& record,
                                                                SamplingOptions& options,
                                                                RowLimits& limits,
                                                                const Json& job_wide);

}  // namespace gridmill
