#include <algorithm>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/normalizer_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

// Bounds for a file; real ones have two or three steps of a few bytes.
constexpr std::size_t kMostSteps = 64;
constexpr std::size_t kLongestContent = 1024;
constexpr std::size_t kGrowth = 64;
constexpr std::size_t kSlackBytes = 65'536;
/// A character becomes one or more when it is decomposed, of at least 1 byte where it had at most
/// 4. Canonical decompositions are at most 3 times as long as what they compose to (in UTF-8).
constexpr std::size_t kFormShrinksBy = 4 * 3;
/// More steps than real files have would leave no bound worth knowing.
constexpr std::size_t kMostShrinking = 1000;

const std::string& short_text_at(const Json& component, const char* key, const std::string& where) {
  const std::string& text = text_at(component, key, where);
  if (text.size() > kLongestContent) {
    throw FormatError(fmt::format("{}: `{}` has {} bytes; at most {} are read", where, key,
                                  text.size(), kLongestContent));
  }
  return text;
}

/// A Replace of the text " ".
bool replaces_spaces(const Json& component) {
  return has(component, "pattern") && component.at("pattern").is_object() &&
         component.at("pattern") == Json{{"String", " "}};
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
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    shrinks_by_ *= kFormShrinksBy;
    if (shrinks_by_ > kMostShrinking) shrinks_by_ = 0;
  } else if (type == "Precompiled" || (type == "Replace" && !replaces_spaces(component))) {
    shrinks_by_ = 0;
  }
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
  } else if (type == "Precompiled") {
    const std::string charsmap = place + ": precompiled_charsmap";
    steps_.emplace_back(Charsmap(
        decode_base64(text_at(component, "precompiled_charsmap", place), charsmap), charsmap));
  } else if (type == "Strip") {
    steps_.emplace_back(Strip{flag_or(component, "strip_left", true, place),
                              flag_or(component, "strip_right", true, place)});
  } else {
    refuse_component(where_, type,
                     "NFC, NFD, NFKC, NFKD, Precompiled, Prepend, Replace, Strip and Sequence");
  }
}

void Normalizer::Passage::lost_in_front(std::size_t bytes) {
  keeps_start = keeps_start && bytes <= put_in_front;
  put_in_front -= std::min(bytes, put_in_front);
}

void Normalizer::Passage::apply(NormalizationForm form) { text = normalize_unicode(text, form); }

// A removed first character leaves its place to the next one: the reference library counts so.
void Normalizer::Passage::apply(const Charsmap& charsmap) { text = charsmap.normalize(text); }

void Normalizer::Passage::apply(const Prepend& prepend) {
  text.insert(0, prepend.content);
  put_in_front += prepend.content.size();
}

void Normalizer::Passage::apply(const Replace& replace) {
  std::string replaced;
  const std::string_view whole = text;
  for (const TextCut& cut : replace.pattern.cut(whole)) {
    if (cut.is_match && replace.content.empty() && replaced.empty()) {
      lost_in_front(cut.end - cut.begin);
    }
    replaced += cut.is_match ? std::string_view(replace.content)
                             : whole.substr(cut.begin, cut.end - cut.begin);
    if (replaced.size() > limit) break;
  }
  text = std::move(replaced);
}

void Normalizer::Passage::apply(const Strip& strip) {
  std::size_t begin = 0;
  std::size_t end = text.size();
  const std::string_view whole = text;
  const auto space_at = [whole](std::size_t at) {
    const Utf8Unit unit = next_utf8(whole, at);
    return unit.well_formed && is_white_space(unit.code_point) ? unit.length : 0;
  };
  while (strip.left && begin < end && space_at(begin) > 0) begin += space_at(begin);
  while (strip.right && begin < end) {
    const std::size_t last = previous_utf8(whole, end);
    if (space_at(last) == 0) break;
    end = last;
  }
  lost_in_front(begin);
  text = text.substr(begin, end - begin);
}

NormalizedText Normalizer::operator()(std::string_view text) const {
  Passage passage{
      .text = std::string(text), .limit = text.size() * kGrowth + kSlackBytes, .put_in_front = 0};
  for (const auto& step : steps_) {
    if (passage.text.empty()) break;
    std::visit([&passage](const auto& known) { passage.apply(known); }, step);
    if (passage.text.size() > passage.limit) {
      throw FormatError(fmt::format("{} turns a text of {} bytes into more than {}", where_,
                                    text.size(), passage.limit));
    }
  }
  return {std::move(passage.text), passage.keeps_start};
}

}  // namespace gridmill::tokenizer_detail
