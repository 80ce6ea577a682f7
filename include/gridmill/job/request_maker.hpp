#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "gridmill/generate/request.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/prompts/prompt_reader.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

namespace job_detail {
class RowOptions;
}  // namespace job_detail

/// Turns row numbers into requests. Everything a row depends on passes through here.
class RequestMaker {
 public:
  /// References must outlive this. @throws UsageError if prompts are text and `tokenizer` is null.
  RequestMaker(const JobConfig& config, const JobPlan& plan, const ModelInfo& model,
               const PromptSource& prompts, const Tokenizer* tokenizer);
  RequestMaker(const RequestMaker&) = delete;
  RequestMaker& operator=(const RequestMaker&) = delete;
  ~RequestMaker();

  /// The request of `row`, or why it has to be a failed row.
  /// @throws IoError, FormatError if the prompt file changed under us.
  [[nodiscard]] std::variant<Request, BadPrompt> make(RowId row) const;

  /// Why a prompt cannot be read or rendered; nothing if it can. Does not look at its tokens.
  [[nodiscard]] std::optional<std::string> why_unusable(PromptId prompt) const;
  /// Whether a prompt so far begins with the begin token that was put in front of it. Rank 0 warns
  /// at the first.
  [[nodiscard]] bool begins_twice() const { return begins_twice_; }
  /// Once at the end, on rank 0: warns if only other ranks met such prompts.
  void warn_of_others(bool on_any_rank) const;

 private:
  /// Tokens that a prompt may have, and the option or limit that says so.
  struct PromptLimit {
    std::int64_t tokens;
    const char* name;
  };
  [[nodiscard]] PromptLimit prompt_limit() const;
  /// A long text that cannot fit, whatever its tokens are: encoding megabytes takes seconds.
  [[nodiscard]] std::optional<BadPrompt> certainly_too_long(const std::string& text) const;
  /// Token ids of a prompt, with special tokens; never empty.
  struct PromptTokens {
    std::vector<TokenId> ids;
    bool truncated = false;
    std::vector<std::uint8_t> counts{};  ///< of each, where only some count
  };
  /// Cuts the ids to the limit, or says why they are too many.
  [[nodiscard]] std::optional<BadPrompt> cut(PromptTokens& prompt) const;
  [[nodiscard]] std::variant<PromptTokens, BadPrompt> tokens_of(PromptId prompt) const;
  /// Ids of a text, with a warning where they begin with two begin tokens. @throws BadPrompt
  [[nodiscard]] std::vector<TokenId> encode(const std::string& text, bool special) const;
  /// The same ids and which of them count: from a field on, or in the assistant's turns.
  [[nodiscard]] std::variant<PromptTokens, BadPrompt> continued(PromptId prompt,
                                                                RenderedPrompt begin) const;
  [[nodiscard]] std::variant<PromptTokens, BadPrompt> turns_of(PromptId prompt) const;
  [[nodiscard]] std::variant<PromptTokens, BadPrompt> whole_tokens_of(PromptId prompt) const;

  const JobConfig& config_;
  const JobPlan& plan_;
  const ModelInfo& model_;
  const PromptSource& prompts_;
  const Tokenizer* tokenizer_;
  PromptReader reader_;
  /// With --score-from: a number of tokens; else, if given, it is a field.
  std::optional<std::size_t> counts_from_;
  std::unique_ptr<job_detail::RowOptions> options_;
  mutable std::atomic<bool> begins_twice_{false};
};

}  // namespace gridmill
