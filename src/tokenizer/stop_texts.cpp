#include "gridmill/tokenizer/stop_texts.hpp"

#include <algorithm>
#include <utility>

namespace gridmill {

namespace {
/// Decoders look back one token, and strip one character at the front of a text.
constexpr std::size_t kContextTokens = 8;
}  // namespace

StopTexts::StopTexts(const Tokenizer& tokenizer, std::vector<std::string> stops,
                     std::span<const TokenId> prompt)
    : tokenizer_(&tokenizer), stops_(std::move(stops)), context_(prompt.begin(), prompt.end()) {
  for (const std::string& stop : stops_) longest_ = std::max(longest_, stop.size());
}

std::optional<StopMatch> StopTexts::push(TokenId id) {
  const std::size_t known = tokenizer_->decode_bytes(context_, true).size();
  context_.push_back(id);
  const std::string whole = tokenizer_->decode_bytes(context_, true);
  const std::string fresh = whole.size() > known ? whole.substr(known) : "";
  // The last tokens with bytes are context enough, and what lies between them.
  std::size_t first = context_.size();
  std::size_t with_bytes = 0;
  while (first > 0 && with_bytes < kContextTokens) {
    --first;
    if (!tokenizer_->is_special(context_[first]) &&
        !tokenizer_->token_bytes(context_[first]).empty()) {
      ++with_bytes;
    }
  }
  context_.erase(context_.begin(), context_.begin() + static_cast<std::ptrdiff_t>(first));

  const std::size_t old_size = tail_.size();
  tail_ += fresh;
  std::optional<StopMatch> best;
  for (std::size_t stop = 0; stop < stops_.size(); ++stop) {
    const std::string& text = stops_[stop];
    // The last byte is a fresh one.
    const std::size_t from = old_size + 1 > text.size() ? old_size + 1 - text.size() : 0;
    const std::size_t found = tail_.find(text, from);
    if (found == std::string::npos) continue;
    const std::size_t begin = before_tail_ + found;
    if (!best || begin < best->begin) best = {stop, begin, begin + text.size()};
  }
  if (tail_.size() + 1 > longest_) {
    const std::size_t cut = longest_ == 0 ? tail_.size() : tail_.size() + 1 - longest_;
    tail_.erase(0, cut);
    before_tail_ += cut;
  }
  return best;
}

std::map<std::string, TokenId> special_token_texts(const Tokenizer& tokenizer) {
  std::map<std::string, TokenId> ids;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id)) ids.emplace(tokenizer.token_bytes(id), id);
  }
  return ids;
}

}  // namespace gridmill
