#include "gridmill/job/sample_rows.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <variant>

#include "gridmill/job/request_maker.hpp"
#include "gridmill/records/result_prompts.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"
#include "job/generation_config.hpp"
#include "job/prompt_file_detail.hpp"
#include "job/prompting.hpp"

namespace gridmill {

namespace {

/// Enough for a mean within a few percent; encoding them takes about a second.
constexpr std::uint64_t kPrompts = 512;

}  // namespace

SampledRows sample_rows(const JobConfig& given, const CheckpointFile& checkpoint,
                        const Model& model, const std::string& numerics_id) {
  JobConfig config = given;
  job_detail::apply_generation_config(config, checkpoint.files());
  const ModelInfo& info = model.info();
  std::unique_ptr<Tokenizer> tokenizer;
  if (!checkpoint.tokenizer_kind().empty()) {
    tokenizer = make_tokenizer(checkpoint.tokenizer_kind(), checkpoint.tokenizer(),
                               static_cast<int>(info.vocab_size), config.run.model);
  }
  const std::unique_ptr<PromptSource> prompts = open_prompt_source(
      config.prompts, PromptIndex::build(config.prompts, config.prompting.messages_field),
      config.prompt_field, config.run.model);
  config.prompting = job_detail::resolve_prompting(config.prompting, checkpoint, tokenizer.get(),
                                                   config.prompt_field, *prompts);
  SampledRows sampled;
  sampled.plan = plan_job(config, checkpoint, info,
                          {prompts->index().content_hash, prompts->count()}, numerics_id, {});
  const RequestMaker requests(config, sampled.plan, info, *prompts, tokenizer.get());
  job_detail::check_first_prompts(*prompts, requests);
  const std::uint64_t count = std::min(prompts->count(), kPrompts);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t prompt = prompts->count() * i / count;
    const std::variant<Request, BadPrompt> made =
        requests.make(static_cast<RowId>(prompt * config.samples_per_prompt));
    ++sampled.looked_at;
    const auto* request = std::get_if<Request>(&made);
    if (request == nullptr) {
      ++sampled.bad_prompts;
      continue;
    }
    const auto tokens = static_cast<std::int64_t>(request->prompt.size());
    const std::int64_t left = std::max<std::int64_t>(request->max_length - tokens, 1);
    sampled.lengths.push_back(
        {.prompt = tokens,
         .generated = std::min(left, request->limits.max_new_tokens.value_or(left))});
  }
  return sampled;
}

}  // namespace gridmill
