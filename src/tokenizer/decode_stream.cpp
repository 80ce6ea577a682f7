#include "gridmill/tokenizer/decode_stream.hpp"

#include <utility>

#include "tokenizer/parts_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill {

using tokenizer_detail::is_well_formed_utf8;
using tokenizer_detail::kReplacement;
using tokenizer_detail::next_utf8;
using tokenizer_detail::replace_ill_formed;
using tokenizer_detail::Utf8Unit;

namespace {

std::string text_of_byte_run(const std::string& run) {
  if (is_well_formed_utf8(run)) return run;
  std::string text;
  for (std::size_t i = 0; i < run.size(); ++i) text += kReplacement;
  return text;
}

}  // namespace

DecodeStream::DecodeStream(const Tokenizer& tokenizer, bool skip_special)
    : parts_(tokenizer.parts_.get()),
      skip_special_(skip_special),
      strips_left_(parts_->rules.strip_count) {}

std::string DecodeStream::push(TokenId id) {
  const std::optional<std::string_view> bytes = parts_->next_bytes(id, skip_special_, place_);
  if (!bytes) return "";
  if (!parts_->rules.byte_runs) {
    pending_ += *bytes;
    return strip_start(take_certain_text());
  }
  if (parts_->token(id).is_byte) {
    pending_ += *bytes;
    return "";
  }
  std::string text = text_of_byte_run(std::exchange(pending_, {}));
  return strip_start(text += *bytes);
}

std::string DecodeStream::finish() {
  const std::string rest = std::exchange(pending_, {});
  std::string text =
      strip_start(parts_->rules.byte_runs ? text_of_byte_run(rest) : replace_ill_formed(rest));
  strips_left_ = parts_->rules.strip_count;
  place_ = {};
  return text;
}

// All of `pending_` but a character at its end that further bytes may complete.
std::string DecodeStream::take_certain_text() {
  std::size_t certain = pending_.size();
  for (std::size_t i = 0; i < pending_.size();) {
    const Utf8Unit unit = next_utf8(pending_, i);
    if (unit.cut_off) certain = i;
    i += unit.length;
  }
  std::string text = replace_ill_formed(std::string_view(pending_).substr(0, certain));
  pending_.erase(0, certain);
  return text;
}

std::string DecodeStream::strip_start(std::string text) {
  const std::string& strip = parts_->rules.strip_front;
  while (strips_left_ > 0 && !text.empty()) {
    if (text.starts_with(strip)) {
      text.erase(0, strip.size());
      --strips_left_;
    } else {
      strips_left_ = 0;
    }
  }
  return text;
}

}  // namespace gridmill
