#include "gridmill/job/request_maker.hpp"

#include <string>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

RequestMaker::RequestMaker(const JobConfig& config, const JobPlan& plan, const ModelInfo& model,
                           const PromptSource& prompts, const Tokenizer* tokenizer)
    : config_(config), plan_(plan), model_(model), prompts_(prompts), tokenizer_(tokenizer) {
  if (tokenizer_ == nullptr && prompts_.index().format != PromptFormat::h5) {
    throw UsageError(
        fmt::format("{} holds no tokenizer: convert it with one, or give --prompts as "
                    "token ids in an .h5 file",
                    config.run.model));
  }
}

std::variant<std::vector<TokenId>, BadPrompt> RequestMaker::tokens_of(PromptId prompt) const {
  Prompt read = prompts_.read(prompt);
  if (auto* bad = std::get_if<BadPrompt>(&read)) return std::move(*bad);
  std::vector<TokenId> ids;
  if (const auto* text = std::get_if<std::string>(&read)) {
    try {
      ids = tokenizer_->encode(*text, config_.add_special_tokens);
    } catch (const Error& error) {
      return BadPrompt{error.what()};
    }
  } else {
    ids = std::move(std::get<std::vector<TokenId>>(read));
  }
  if (ids.empty()) {
    if (model_.bos_id < 0) return BadPrompt{"the prompt is empty and the model has no begin token"};
    ids.push_back(model_.bos_id);
  }
  for (const TokenId id : ids) {
    if (id < 0 || id >= model_.vocab_size) {
      return BadPrompt{
          fmt::format("token id {} is outside the vocabulary of {} tokens", id, model_.vocab_size)};
    }
  }
  if (ids.size() > static_cast<std::size_t>(plan_.max_length)) {
    return BadPrompt{fmt::format("the prompt has {} tokens, more than max-length {}", ids.size(),
                                 plan_.max_length)};
  }
  return ids;
}

std::variant<Request, BadPrompt> RequestMaker::make(RowId row) const {
  const auto prompt = static_cast<PromptId>(row / config_.samples_per_prompt);
  auto tokens = tokens_of(prompt);
  if (auto* bad = std::get_if<BadPrompt>(&tokens)) return std::move(*bad);
  Request request;
  request.row = row;
  request.prompt = std::move(std::get<std::vector<TokenId>>(tokens));
  request.temperature = config_.temperature;
  request.seed = config_.seed;
  request.prompt_index = prompt;
  request.sample_index = static_cast<std::uint32_t>(row % config_.samples_per_prompt);
  request.max_length = plan_.max_length;
  if (plan_.max_new_tokens > 0) request.max_new_tokens = plan_.max_new_tokens;
  request.eod_ids = plan_.eod_ids;
  request.logprobs = config_.logprobs;
  return request;
}

}  // namespace gridmill
