#include "job/job_fields.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>

namespace gridmill::job_detail {

namespace {

struct Field {
  const char* name;
  std::variant<bool JobConfig::*, std::string JobConfig::*, std::int32_t JobConfig::*,
               std::uint32_t JobConfig::*, std::int64_t JobConfig::*>
      member;
  bool always_written;  ///< known to the first version of the format
};

constexpr std::array<Field, 8> kFields = {{
    {"prompt_field", &JobConfig::prompt_field, true},
    {"add_special_tokens", &JobConfig::add_special_tokens, true},
    {"max_length", &JobConfig::max_length, true},
    {"samples_per_prompt", &JobConfig::samples_per_prompt, true},
    {"logprobs", &JobConfig::logprobs, true},
    {"top_logprobs", &JobConfig::top_logprobs, false},
    {"sampling_field", &JobConfig::sampling_field, false},
    {"logprobs_for", &JobConfig::logprobs_for, false},
}};

}  // namespace

void write_job_fields(const JobConfig& config, Json& job) {
  const JobConfig defaults;
  for (const Field& field : kFields) {
    std::visit(
        [&](auto member) {
          if (field.always_written || config.*member != defaults.*member) {
            job[field.name] = config.*member;
          }
        },
        field.member);
  }
}

void read_job_fields(const Json& job, JobConfig& config) {
  for (const Field& field : kFields) {
    if (!field.always_written && !job.contains(field.name)) continue;
    std::visit(
        [&](auto member) {
          using Value = std::remove_reference_t<decltype(config.*member)>;
          config.*member = job.at(field.name).template get<Value>();
        },
        field.member);
  }
}

}  // namespace gridmill::job_detail
