#include "gridmill/job/request_maker.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/row_record.hpp"
#include "job/row_options.hpp"

namespace gridmill {

namespace {

/// Shorter texts are encoded to learn how many tokens they have.
constexpr std::size_t kLongText = std::size_t{1} << 20;

void warn_of_two_begin_tokens() {
  log::warn(
      "prompts begin with the begin token that is put in front of every prompt, so that they have "
      "two; give --add-special-tokens=false if that is not meant");
}

}  // namespace

RequestMaker::RequestMaker(const JobConfig& config, const JobPlan& plan, const ModelInfo& model,
                           const PromptSource& prompts, const Tokenizer* tokenizer)
    : config_(config),
      plan_(plan),
      model_(model),
      prompts_(prompts),
      tokenizer_(tokenizer),
      reader_(prompts, config.prompting, config.prompt_field),
      options_(
          std::make_unique<job_detail::RowOptions>(config, plan, model.vocab_size, tokenizer)) {
  if (tokenizer_ == nullptr && prompts_.index().format != PromptFormat::h5) {
    throw UsageError(
        fmt::format("{} holds no tokenizer: convert it with one, or give --prompts as "
                    "token ids in an .h5 file",
                    config.run.model));
  }
  counts_from_ = config.score.first_counted();
  const bool needs_records =
      config.score.assistant || (!config.score.from.empty() && !counts_from_);
  const PromptFormat format = prompts_.index().format;
  if (needs_records && format != PromptFormat::jsonl && format != PromptFormat::results) {
    throw UsageError(fmt::format("{} needs records, and {} holds none",
                                 config.score.assistant ? "--score-assistant" : "--score-from",
                                 config.prompts));
  }
}

RequestMaker::PromptLimit RequestMaker::prompt_limit() const {
  const std::int64_t longest = plan_.max_length;
  const PromptOptions& options = config_.prompting;
  if (options.max_prompt_tokens > 0 && options.max_prompt_tokens < longest) {
    return {options.max_prompt_tokens, "max-prompt-tokens"};
  }
  // A row that is scored gets no tokens behind it.
  if (options.truncate_prompt == "refuse" || options.max_prompt_tokens > 0 ||
      config_.score.enabled) {
    return {longest, "max-length"};
  }
  const std::int64_t fresh = plan_.limits.max_new_tokens.value_or(1);
  return {std::max<std::int64_t>(longest - fresh, 1), "what max-length leaves"};
}

std::optional<BadPrompt> RequestMaker::cut(PromptTokens& prompt) const {
  std::vector<TokenId>& ids = prompt.ids;
  const PromptLimit limit = prompt_limit();
  const auto size = static_cast<std::int64_t>(ids.size());
  if (size <= limit.tokens) return std::nullopt;
  if (config_.prompting.truncate_prompt == "refuse") {
    return BadPrompt{
        fmt::format("the prompt has {} tokens, more than {} {}", size, limit.name, limit.tokens)};
  }
  std::ptrdiff_t first = limit.tokens;
  if (config_.prompting.truncate_prompt == "left") {
    // A begin token in front stays there, and counts.
    first = model_.bos_id >= 0 && ids.front() == model_.bos_id ? 1 : 0;
  }
  const std::ptrdiff_t end = first + (size - limit.tokens);
  ids.erase(ids.begin() + first, ids.begin() + end);
  if (!prompt.counts.empty()) {
    prompt.counts.erase(prompt.counts.begin() + first, prompt.counts.begin() + end);
  }
  prompt.truncated = true;
  return std::nullopt;
}

std::optional<BadPrompt> RequestMaker::certainly_too_long(const std::string& text) const {
  if (text.size() < kLongText || config_.prompting.truncate_prompt != "refuse") return std::nullopt;
  const PromptLimit limit = prompt_limit();
  const auto fewest = static_cast<std::int64_t>(tokenizer_->fewest_tokens(text));
  if (fewest <= limit.tokens) return std::nullopt;
  return BadPrompt{fmt::format("the prompt has at least {} tokens, more than {} {}", fewest,
                               limit.name, limit.tokens)};
}

RequestMaker::~RequestMaker() = default;

std::vector<TokenId> RequestMaker::encode(const std::string& text, bool special) const {
  if (std::optional<BadPrompt> bad = certainly_too_long(text)) throw std::move(*bad);
  std::vector<TokenId> ids;
  try {
    ids = tokenizer_->encode(text, special);
  } catch (const Error& error) {
    throw BadPrompt{error.what()};
  }
  if (special && ids.size() > 1 && ids[0] == ids[1] && tokenizer_->bos() == ids[0] &&
      !begins_twice_.exchange(true)) {
    warn_of_two_begin_tokens();
  }
  return ids;
}

std::variant<RequestMaker::PromptTokens, BadPrompt> RequestMaker::whole_tokens_of(
    PromptId prompt) const {
  if (config_.score.assistant) return turns_of(prompt);
  RenderedPrompt rendered = reader_.read(prompt);
  if (auto* bad = std::get_if<BadPrompt>(&rendered.prompt)) return std::move(*bad);
  if (!config_.score.from.empty() && !counts_from_) return continued(prompt, std::move(rendered));
  PromptTokens made;
  if (const auto* text = std::get_if<std::string>(&rendered.prompt)) {
    // A chat template writes every special token itself.
    made.ids = encode(*text, config_.add_special_tokens && !rendered.from_messages);
  } else {
    made.ids = std::move(std::get<std::vector<TokenId>>(rendered.prompt));
  }
  if (made.ids.empty() && model_.bos_id >= 0) made.ids.push_back(model_.bos_id);
  if (counts_from_) {
    made.counts.resize(made.ids.size(), 1);
    std::fill_n(made.counts.begin(), std::min(*counts_from_, made.counts.size()), std::uint8_t{0});
  }
  return made;
}

std::variant<RequestMaker::PromptTokens, BadPrompt> RequestMaker::tokens_of(PromptId prompt) const {
  std::variant<PromptTokens, BadPrompt> made;
  try {
    made = whole_tokens_of(prompt);
  } catch (BadPrompt& bad) {  // of encode()
    return std::move(bad);
  }
  auto* tokens = std::get_if<PromptTokens>(&made);
  if (tokens == nullptr) return made;
  if (tokens->ids.empty()) {
    return BadPrompt{"the prompt is empty and the model has no begin token"};
  }
  for (const TokenId id : tokens->ids) {
    if (id < 0 || id >= model_.vocab_size) {
      return BadPrompt{
          fmt::format("token id {} is outside the vocabulary of {} tokens", id, model_.vocab_size)};
    }
  }
  std::vector<std::uint8_t>& counts = tokens->counts;
  const auto counts_nothing = [&counts] {
    // Nothing predicts the first token of a row.
    if (!counts.empty()) counts.front() = 0;
    return !counts.empty() &&
           std::find(counts.begin(), counts.end(), std::uint8_t{1}) == counts.end();
  };
  // Before the cut, too: a reason must not depend on a length that rows without one do not have.
  if (!counts_nothing()) {
    if (std::optional<BadPrompt> bad = cut(*tokens)) return std::move(*bad);
  }
  if (counts_nothing()) return BadPrompt{"no token of the row counts"};
  return made;
}

std::optional<std::string> RequestMaker::why_unusable(PromptId prompt) const {
  const RenderedPrompt rendered = reader_.read(prompt);
  const auto* bad = std::get_if<BadPrompt>(&rendered.prompt);
  return bad == nullptr ? std::nullopt : std::optional(bad->reason);
}

void RequestMaker::warn_of_others(bool on_any_rank) const {
  if (on_any_rank && !begins_twice_) warn_of_two_begin_tokens();
}

std::variant<Request, BadPrompt> RequestMaker::make(RowId row) const {
  const auto prompt = static_cast<PromptId>(row / config_.samples_per_prompt);
  auto tokens = tokens_of(prompt);
  if (auto* bad = std::get_if<BadPrompt>(&tokens)) return std::move(*bad);
  auto& made = std::get<PromptTokens>(tokens);
  Request request;
  request.row = row;
  request.prompt = std::move(made.ids);
  if (made.truncated) request.flags = kPromptTruncated;
  request.prompt_index = prompt;
  request.sample_index = static_cast<std::uint32_t>(row % config_.samples_per_prompt);
  request.later_samples =
      static_cast<std::uint32_t>(config_.samples_per_prompt) - 1 - request.sample_index;
  request.max_length = plan_.max_length;
  if (config_.score.enabled) {
    request.score = true;
    request.logprobs = true;
    request.top_logprobs = config_.top_logprobs;
    request.logits = config_.score.logits;
    request.counts = std::move(made.counts);
    if (config_.logprobs_for == "counted") {
      request.first_logprob =
          std::find(request.counts.begin(), request.counts.end(), std::uint8_t{1}) -
          request.counts.begin();
    }
    return request;
  }
  try {
    options_->apply(request, prompts_.record(prompt));
  } catch (const UsageError& error) {
    return BadPrompt{error.what()};
  }
  return request;
}

}  // namespace gridmill
