#include "gridmill/sampling/sampling_options.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <limits>
#include <set>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/sampling/filter.hpp"
#include "sampling/option_value.hpp"

namespace gridmill {

namespace {

using option_value::Range;

template <typename Options>
using Member = std::variant<float Options::*, double Options::*, std::int32_t Options::*,
                            std::int64_t Options::*, std::optional<std::int64_t> Options::*,
                            std::uint64_t Options::*, std::map<TokenId, float> Options::*,
                            std::vector<TokenId> Options::*, std::vector<std::string> Options::*>;

template <typename Options>
struct TypedField {
  Member<Options> member;
  Range range;
  /// Known to files of version 1: always written.
  bool always_written = false;
};

constexpr double kMostFp32 = std::numeric_limits<float>::max();
constexpr double kMostInt32 = std::numeric_limits<std::int32_t>::max();
constexpr Range kAnyFinite{.low = -kMostFp32, .high = kMostFp32, .expected = "a finite number"};
constexpr Range kIds{.low = 0, .high = kMostInt32, .expected = "ids of the vocabulary"};

constexpr std::array<OptionField, 11> kSamplingFields = {{
    {"temperature", "temperature", "temperature", "T", "1; 0 = greedy"},
    {"top-k", "top_k", "top_k", "K", "keep the K most likely tokens; default 0 = all"},
    {"top-p", "top_p", "top_p", "P",
     "keep the fewest most likely tokens that hold this share of the probability; default 1 = all"},
    {"min-p", "min_p", "min_p", "P",
     "keep tokens with this share of the likeliest one's probability; default 0 = all"},
    {"repetition-penalty", "repetition_penalty", "repetition_penalty", "R",
     "of tokens of the prompt and the row: x / R above 0, x R below; default 1"},
    {"presence-penalty", "presence_penalty", "presence_penalty", "C",
     "subtracted from the logits of tokens that the row has generated; default 0"},
    {"frequency-penalty", "frequency_penalty", "frequency_penalty", "F",
     "the same, times how often they were generated; default 0"},
    {"logit-bias", "logit_bias", "logit_bias", "ID=B",
     "added to a token's logit; may be given several times", true},
    {"banned-token-ids", "banned_token_ids", "banned_token_ids", "ID,..",
     "tokens that are never drawn; may be given several times", true},
    {"allowed-token-ids", "allowed_token_ids", "allowed_token_ids", "ID,..",
     "no other token is drawn; may be given several times", true},
    {"seed", "seed", "seed", "N", "64 bit; default 0"},
}};

const std::array<TypedField<SamplingOptions>, 11>& typed_fields(const SamplingOptions* /*kind*/) {
  using O = SamplingOptions;
  static const std::array<TypedField<O>, 11> fields = {{
      {&O::temperature,
       // --lockstep takes negative ones, as xlstm-jax does.
       {.low = -kMostFp32, .high = kMostFp32, .expected = "0 or a positive number"},
       true},
      {&O::top_k, {.low = -1, .high = kMostInt32, .expected = "0 to 2147483647"}},
      {&O::top_p,
       {.low = 0, .high = 1, .above_low = true, .expected = "a number above 0, at most 1"}},
      {&O::min_p, {.low = 0, .high = 1, .expected = "0 to 1"}},
      {&O::repetition_penalty,
       {.low = 0, .high = kMostFp32, .above_low = true, .expected = "a positive number"}},
      {&O::presence_penalty, kAnyFinite},
      {&O::frequency_penalty, kAnyFinite},
      {&O::logit_bias,
       {.low = -kMostFp32, .high = kMostFp32, .expected = "ids, each with a finite number"}},
      {&O::banned_token_ids, kIds},
      {&O::allowed_token_ids, kIds},
      {&O::seed, {.expected = "0 to 2^64 - 1"}, true},
  }};
  return fields;
}

constexpr std::array<OptionField, 5> kLimitFields = {{
    {"max-new-tokens", "max_new_tokens", "max_tokens", "N", "limits the generated tokens further"},
    {"min-new-tokens", "min_new_tokens", "min_tokens", "N",
     "so many generated tokens never end a row; default 0"},
    {"eod-token-id", "eod_token_ids", "", "ID",
     "end of document; -1 = never stop; may be given several times; default: the model's", true},
    {"stop-token-ids", "stop_token_ids", "stop_token_ids", "ID,..",
     "tokens that end a row, and are left out of its text; may be given several times", true},
    {"stop", "stop", "stop", "TEXT",
     "ends a row whose generated text contains it; may be given several times", true},
}};

const std::array<TypedField<RowLimits>, 5>& typed_fields(const RowLimits* /*kind*/) {
  using L = RowLimits;
  static const std::array<TypedField<L>, 5> fields = {{
      {&L::max_new_tokens, {.low = 1, .high = kMostInt32, .expected = "1 to 2147483647"}, true},
      {&L::min_new_tokens, {.low = 0, .high = kMostInt32, .expected = "0 to 2147483647"}},
      {&L::eod_token_ids,
       {.low = -1, .high = kMostInt32, .expected = "ids of the vocabulary, or -1"},
       true},
      {&L::stop_token_ids, kIds},
      {&L::stop, {.expected = "texts that are not empty"}},
  }};
  return fields;
}

std::span<const OptionField> fields_of(const SamplingOptions* /*kind*/) { return kSamplingFields; }
std::span<const OptionField> fields_of(const RowLimits* /*kind*/) { return kLimitFields; }

template <typename Options>
const TypedField<Options>& typed_field(const OptionField& field) {
  const Options* const kind = nullptr;
  const std::span<const OptionField> fields = fields_of(kind);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (std::string_view(fields[i].name) == field.name) return typed_fields(kind)[i];
  }
  throw InternalError(fmt::format("there is no option field {}", field.name));
}

template <typename Options>
void assign(Options& options, const OptionField& field, const Json& value, const std::string& label,
            const std::string& shown) {
  const TypedField<Options>& typed = typed_field<Options>(field);
  const bool read = std::visit(
      [&](auto member) { return option_value::read(value, typed.range, options.*member); },
      typed.member);
  if (!read) {
    throw UsageError(fmt::format("{} is {}, expected {}", label, shown, typed.range.expected));
  }
}

/// -1 means "all" to other programs.
void normalize(SamplingOptions& options) { options.top_k = std::max(options.top_k, 0); }
void normalize(RowLimits& limits) {
  if (limits.eod_token_ids.size() > 1 &&
      std::count(limits.eod_token_ids.begin(), limits.eod_token_ids.end(), -1) > 0) {
    throw UsageError("--eod-token-id takes ids of the vocabulary, or -1 alone for never");
  }
}

template <typename Options>
void assign_text(Options& options, const OptionField& field,
                 const std::vector<std::string>& texts) {
  const TypedField<Options>& typed = typed_field<Options>(field);
  const Json value =
      std::visit([&](auto member) { return option_value::text_to_json(&(options.*member), texts); },
                 typed.member);
  std::string shown;
  for (const std::string& text : texts) shown += (shown.empty() ? "" : ", ") + text;
  assign(options, field, value, fmt::format("--{}", field.option), "'" + shown + "'");
  normalize(options);
}

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <typename Options>
void assign_json(Options& options, const OptionField& field, const Json& value) {
  const std::string label = *field.record_name != '\0' ? field.record_name : field.name;
  assign(options, field, value, label, dump(value));
  normalize(options);
}

template <typename Options>
void write_fields(const Options& options, Json& job) {
  static const Options defaults;
  const std::span<const OptionField> fields = fields_of(&options);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const TypedField<Options>& typed = typed_fields(&options)[i];
    std::visit(
        [&](auto member) {
          if (typed.always_written || !(options.*member == defaults.*member)) {
            job[fields[i].name] = option_value::to_json(options.*member);
          }
        },
        typed.member);
  }
}

template <typename Options>
const OptionField* differing_field(const Options& left, const Options& right) {
  const std::span<const OptionField> fields = fields_of(&left);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const bool equal = std::visit([&](auto member) { return left.*member == right.*member; },
                                  typed_fields(&left)[i].member);
    if (!equal) return &fields[i];
  }
  return nullptr;
}

template <typename Options>
Options read_fields(const Json& job) {
  Options options;
  for (const OptionField& field : fields_of(&options)) {
    const auto found = job.find(field.name);
    if (found == job.end()) {
      if (typed_field<Options>(field).always_written) job.at(field.name);  // throws
      continue;
    }
    const bool no_limit = std::string_view(field.name) == "max_new_tokens" && *found == 0;
    if (!no_limit) assign(options, field, *found, field.name, dump(*found));
  }
  return options;
}

const OptionField* find_record_field(std::span<const OptionField> fields, const std::string& name) {
  if (name.empty()) return nullptr;
  for (const OptionField& field : fields) {
    if (name == field.record_name) return &field;
  }
  return nullptr;
}

/// Fields of requests to other programs that change nothing here.
bool is_ignored(const std::string& name, const Json& value, const Json& job_wide) {
  static const std::set<std::string> ignored = {"model", "messages", "prompt", "user", "metadata"};
  if (ignored.count(name) > 0) return true;
  if (name == "stream") return value == false;
  if (name == "n") return value == job_wide.value("samples_per_prompt", 1);
  if (name == "logprobs" || name == "top_logprobs") {
    if (value == false || value == 0) return true;
    if (value == true) return job_wide.value("logprobs", false);
    return value.is_number_unsigned() && job_wide.value("logprobs", false) &&
           value.get<std::uint64_t>() <= job_wide.value("top_logprobs", std::uint64_t{0});
  }
  return false;
}

const char* label_of(const OptionField& field, bool in_record, std::string& storage) {
  storage = in_record ? field.record_name : fmt::format("--{}", field.option);
  return storage.c_str();
}

}  // namespace

std::span<const OptionField> sampling_fields() { return kSamplingFields; }
std::span<const OptionField> limit_fields() { return kLimitFields; }

void set_from_text(SamplingOptions& options, const OptionField& field,
                   const std::vector<std::string>& texts) {
  assign_text(options, field, texts);
}
void set_from_text(RowLimits& limits, const OptionField& field,
                   const std::vector<std::string>& texts) {
  assign_text(limits, field, texts);
}
void set_from_json(SamplingOptions& options, const OptionField& field, const Json& value) {
  assign_json(options, field, value);
}
void set_from_json(RowLimits& limits, const OptionField& field, const Json& value) {
  assign_json(limits, field, value);
}

const OptionField* first_difference(const SamplingOptions& left, const SamplingOptions& right) {
  return differing_field(left, right);
}
const OptionField* first_difference(const RowLimits& left, const RowLimits& right) {
  return differing_field(left, right);
}

void write_identity(const SamplingOptions& options, Json& job) { write_fields(options, job); }
void write_identity(const RowLimits& limits, Json& job) { write_fields(limits, job); }
SamplingOptions read_sampling_identity(const Json& job) {
  return read_fields<SamplingOptions>(job);
}
RowLimits read_limits_identity(const Json& job) { return read_fields<RowLimits>(job); }

void check_against_vocabulary(const SamplingOptions& options, const RowLimits& limits,
                              std::int64_t vocab_size, bool in_record) {
  std::string label;
  const auto check = [&](const OptionField& field, TokenId id) {
    if (id < vocab_size) return;
    throw UsageError(fmt::format("{}: token id {} is outside the vocabulary of {} tokens",
                                 label_of(field, in_record, label), id, vocab_size));
  };
  for (const auto& [id, bias] : options.logit_bias) check(kSamplingFields[7], id);
  for (const TokenId id : options.banned_token_ids) check(kSamplingFields[8], id);
  for (const TokenId id : options.allowed_token_ids) check(kSamplingFields[9], id);
  for (const TokenId id : limits.stop_token_ids) check(kLimitFields[3], id);
  const std::set<TokenId> banned(options.banned_token_ids.begin(), options.banned_token_ids.end());
  const std::set<TokenId> allowed(options.allowed_token_ids.begin(),
                                  options.allowed_token_ids.end());
  const bool all_allowed_banned = !allowed.empty() && std::includes(banned.begin(), banned.end(),
                                                                    allowed.begin(), allowed.end());
  if (all_allowed_banned || static_cast<std::int64_t>(banned.size()) == vocab_size) {
    throw UsageError(fmt::format("{} and {} forbid every token",
                                 in_record ? "banned_token_ids" : "--banned-token-ids",
                                 in_record ? "allowed_token_ids" : "--allowed-token-ids"));
  }
  if (options.top_p < 1 && vocab_size > kMostTopPVocabulary) {
    throw UsageError(fmt::format("{} is unsupported with a vocabulary of {} tokens, at most {}",
                                 in_record ? "top_p" : "--top-p", vocab_size, kMostTopPVocabulary));
  }
  if (limits.max_new_tokens && limits.min_new_tokens > *limits.max_new_tokens) {
    throw UsageError(fmt::format("{} is {}, more than {} {}",
                                 label_of(kLimitFields[1], in_record, label), limits.min_new_tokens,
                                 in_record ? "max_tokens" : "--max-new-tokens",
                                 *limits.max_new_tokens));
  }
}

std::optional<std::uint64_t> override_from_record(const Json& record, SamplingOptions& options,
                                                  RowLimits& limits, const Json& job_wide) {
  if (!record.is_object()) {
    throw UsageError(fmt::format("the sampling options are {}, expected an object", dump(record)));
  }
  std::optional<std::uint64_t> seed;
  for (const auto& [name, value] : record.items()) {
    if (value.is_null()) continue;
    if (const OptionField* field = find_record_field(kSamplingFields, name)) {
      assign_json(options, *field, value);
      if (name == "seed") seed = options.seed;
    } else if (const OptionField* limit = find_record_field(kLimitFields, name)) {
      assign_json(limits, *limit, value);
    } else if (name == "ignore_eos") {
      if (!value.is_boolean()) {
        throw UsageError(fmt::format("ignore_eos is {}, expected true or false", dump(value)));
      }
      if (value == true) limits.eod_token_ids.clear();
    } else if (!is_ignored(name, value, job_wide)) {
      throw UsageError(fmt::format("{} is {}: no option that a row can have", name, dump(value)));
    }
  }
  if (options.temperature < 0) {
    throw UsageError(
        fmt::format("temperature is {}, expected 0 or a positive number", options.temperature));
  }
  return seed;
}

}  // namespace gridmill
