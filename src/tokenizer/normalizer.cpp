#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/normalizer_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

// Bounds on what a file may ask for; real ones have two or three steps of a few bytes.
constexpr std::size_t kMostSteps = 64;
constexpr std::size_t kLongestContent = 1024;
constexpr std::size_t kGrowth = 64;
constexpr std::size_t kSlackBytes = 65'536;

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

const std::string& short_text_at(const Json& component, const char* key, const std::string& where) {
  const std::string& text = text_at(component, key, where);
  if (text.size() > kLongestContent) {
    throw FormatError(fmt::format("{}: `{}` has {} bytes; at most {} are read", where, key,
                                  text.size(), kLongestContent));
  }
  return text;
}

}  // namespace

Regex read_pattern(const Json& component, const std::string& where) {
  const Json& pattern = object_at(component, "pattern", where);
  if (has(pattern, "String")) {
    return Regex::of_literal(text_at(pattern, "String", where + ": pattern"), where);
  }
  return {text_at(pattern, "Regex", where + ": pattern"), where};
}

Normalizer::Normalizer(const Json& component, std::string where) : where_(std::move(where)) {
  if (!component.is_null()) add(component);
}

void Normalizer::add(const Json& component) {
  const std::string& type = type_of(component, where_);
  const std::string place = where_ + " " + type;
  if (steps_.size() == kMostSteps) {
    throw FormatError(fmt::format("{} has more than {} steps", where_, kMostSteps));
  }
  if (type == "Sequence") {
    for (const Json& part : array_at(component, "normalizers", place)) add(part);
  } else if (type == "NFC") {
    steps_.emplace_back(NormalizationForm::nfc);
  } else if (type == "NFD") {
    steps_.emplace_back(NormalizationForm::nfd);
  } else if (type == "NFKC") {
    steps_.emplace_back(NormalizationForm::nfkc);
  } else if (type == "NFKD") {
    steps_.emplace_back(NormalizationForm::nfkd);
  } else if (type == "Prepend") {
    steps_.emplace_back(Prepend{short_text_at(component, "prepend", place)});
  } else if (type == "Replace") {
    steps_.emplace_back(
        Replace{read_pattern(component, place), short_text_at(component, "content", place)});
  } else {
    refuse_component(where_, type, "NFC, NFD, NFKC, NFKD, Prepend, Replace and Sequence");
  }
}

std::string Normalizer::operator()(std::string_view text) const {
  std::string result(text);
  const std::size_t limit = text.size() * kGrowth + kSlackBytes;
  for (const auto& step : steps_) {
    if (result.empty()) break;
    result = std::visit(
        Overloaded{[&result](NormalizationForm form) { return normalize_unicode(result, form); },
                   [&result](const Prepend& prepend) { return prepend.content + result; },
                   [&result, limit](const Replace& replace) {
                     std::string replaced;
                     const std::string_view whole = result;
                     for (const TextCut& cut : replace.pattern.cut(whole)) {
                       replaced += cut.is_match ? std::string_view(replace.content)
                                                : whole.substr(cut.begin, cut.end - cut.begin);
                       if (replaced.size() > limit) break;
                     }
                     return replaced;
                   }},
        step);
    if (result.size() > limit) {
      throw FormatError(
          fmt::format("{} turns a text of {} bytes into more than {}", where_, text.size(), limit));
    }
  }
  return result;
}

}  // namespace gridmill::tokenizer_detail
