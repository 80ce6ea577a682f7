#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/job/request_maker.hpp"

// Rows that are scored in parts: where a text ends in the middle of a token, that token belongs to
// what follows, since it is predicted with the text before it.

namespace gridmill {

namespace {

/// Tokens of `whole` that are those of its beginning alone.
std::size_t common_beginning(const std::vector<TokenId>& whole, const std::vector<TokenId>& begin) {
  const auto end = std::mismatch(whole.begin(), whole.end(), begin.begin(), begin.end()).first;
  return static_cast<std::size_t>(end - whole.begin());
}

}  // namespace

std::variant<RequestMaker::PromptTokens, BadPrompt> RequestMaker::continued(
    PromptId prompt, RenderedPrompt begin) const {
  Prompt rest = reader_.read_field(prompt, config_.score.from);
  if (auto* bad = std::get_if<BadPrompt>(&rest)) return std::move(*bad);
  if (rest.index() != begin.prompt.index()) {
    return BadPrompt{fmt::format(
        "line {}: the prompt and field '{}' are a text and token ids; they have to be of one kind",
        std::uint64_t{prompt} + 1, config_.score.from)};
  }
  PromptTokens made;
  std::size_t counted = 0;
  if (const auto* text = std::get_if<std::string>(&rest)) {
    const auto& before = std::get<std::string>(begin.prompt);
    const bool special = config_.add_special_tokens && !begin.from_messages;
    made.ids = encode(before + *text, special);
    counted = common_beginning(made.ids, encode(before, special));
  } else {
    made.ids = std::move(std::get<std::vector<TokenId>>(begin.prompt));
    counted = made.ids.size();
    const auto& more = std::get<std::vector<TokenId>>(rest);
    made.ids.insert(made.ids.end(), more.begin(), more.end());
  }
  made.counts.resize(made.ids.size(), 0);
  std::fill(made.counts.begin() + static_cast<std::ptrdiff_t>(counted), made.counts.end(),
            std::uint8_t{1});
  return made;
}

std::variant<RequestMaker::PromptTokens, BadPrompt> RequestMaker::turns_of(PromptId prompt) const {
  auto rendered = reader_.read_turns(prompt);
  if (auto* bad = std::get_if<BadPrompt>(&rendered)) return std::move(*bad);
  const auto& [text, turns] = std::get<RenderedTurns>(rendered);
  PromptTokens made{.ids = encode(text, false)};
  made.counts.resize(made.ids.size(), 0);
  const auto tokens_up_to = [&, &whole = text](std::size_t end) {
    return static_cast<std::ptrdiff_t>(
        common_beginning(made.ids, encode(whole.substr(0, end), false)));
  };
  for (const auto& [first, end] : turns) {
    // A text cut in the middle of a word may have fewer tokens of the whole than a shorter one.
    const std::ptrdiff_t from = tokens_up_to(first);
    const std::ptrdiff_t to = std::max(from, tokens_up_to(end));
    std::fill(made.counts.begin() + from, made.counts.begin() + to, std::uint8_t{1});
  }
  return made;
}

}  // namespace gridmill
