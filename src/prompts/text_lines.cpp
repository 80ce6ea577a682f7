#include "sources_detail.hpp"

namespace gridmill::detail {

TextLines::TextLines(const std::string& path, PromptIndex index)
    : PromptSource(path, std::move(index)), content_(LineBytes::open(path, this->index())) {}

std::string TextLines::line(PromptId prompt) const {
  const std::uint64_t start = index().line_starts.at(prompt);
  const std::uint64_t end = index().line_starts.at(std::size_t{prompt} + 1);
  std::string text(static_cast<std::size_t>(end - start), '\0');
  content_->read(start, std::as_writable_bytes(std::span(text)));
  if (text.ends_with('\n')) {
    text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
  }
  return text;
}

Prompt TextLines::read_checked(PromptId prompt) const { return line(prompt); }

}  // namespace gridmill::detail
