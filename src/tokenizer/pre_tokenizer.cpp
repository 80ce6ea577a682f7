#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/normalizer_detail.hpp"
#include "tokenizer/pre_tokenizer_detail.hpp"
#include "tokenizer/unicode_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

constexpr std::size_t kMostSteps = 64;  // real files have up to five

// GPT-2's words: contractions, runs of letters, digits or symbols with the blank before them, and
// white space that leaves its last blank to the next word.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

SplitBehavior read_behavior(const Json& component, const std::string& where) {
  const std::string& name = text_at(component, "behavior", where);
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  refuse_component(where + ": behavior", name,
                   "Removed, Isolated, MergedWithPrevious, MergedWithNext and Contiguous");
}

std::vector<TextCut> cut_digits(std::string_view text) {
  std::vector<TextCut> cuts;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = next_utf8(text, i);
    const bool numeric = unit.well_formed && is_numeric(unit.code_point);
    if (!numeric && !cuts.empty() && !cuts.back().is_match) {
      cuts.back().end += unit.length;
    } else {
      cuts.push_back({i, i + unit.length, numeric});
    }
    i += unit.length;
  }
  return cuts;
}

std::vector<TextCut> merge_runs(const std::vector<TextCut>& cuts) {
  std::vector<TextCut> merged;
  for (const TextCut& cut : cuts) {
    if (!merged.empty() && merged.back().is_match == cut.is_match) {
      merged.back().end = cut.end;
    } else {
      merged.push_back(cut);
    }
  }
  return merged;
}

// A match joins the piece before it, unless that ends with a match already.
std::vector<TextCut> merge_with_previous(const std::vector<TextCut>& cuts) {
  std::vector<TextCut> merged;
  bool after_match = false;
  for (const TextCut& cut : cuts) {
    if (cut.is_match && !after_match && !merged.empty()) {
      merged.back().end = cut.end;
    } else {
      merged.push_back(cut);
    }
    after_match = cut.is_match;
  }
  return merged;
}

// A match joins the piece after it, unless that is a match too.
std::vector<TextCut> merge_with_next(const std::vector<TextCut>& cuts) {
  std::vector<TextCut> merged;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const bool joins = cuts[i].is_match && i + 1 < cuts.size() && !cuts[i + 1].is_match;
    if (joins) {
      merged.push_back({cuts[i].begin, cuts[i + 1].end, false});
      ++i;
    } else {
      merged.push_back(cuts[i]);
    }
  }
  return merged;
}

}  // namespace

std::vector<TextCut> apply_behavior(std::vector<TextCut> cuts, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::removed:
      std::erase_if(cuts, [](const TextCut& cut) { return cut.is_match; });
      return cuts;
    case SplitBehavior::isolated:
      return cuts;
    case SplitBehavior::merged_with_previous:
      return merge_with_previous(cuts);
    case SplitBehavior::merged_with_next:
      return merge_with_next(cuts);
    case SplitBehavior::contiguous:
      return merge_runs(cuts);
  }
  throw InternalError("unknown split behavior");
}

PreTokenizer::PreTokenizer(const Json& component, std::string where) : where_(std::move(where)) {
  if (!component.is_null()) add(component);
}

void PreTokenizer::add(const Json& component) {
  const std::string& type = type_of(component, where_);
  const std::string place = where_ + " " + type;
  if (steps_.size() >= kMostSteps) {
    throw FormatError(fmt::format("{} has more than {} steps", where_, kMostSteps));
  }
  if (is_byte_level_) {
    throw FormatError(place + " after ByteLevel is unsupported; ByteLevel has to come last");
  }
  if (type == "Sequence") {
    for (const Json& part : array_at(component, "pretokenizers", place)) add(part);
  } else if (type == "Split") {
    steps_.emplace_back(Split{read_pattern(component, place), read_behavior(component, place),
                              flag_or(component, "invert", false, place)});
  } else if (type == "Digits") {
    steps_.emplace_back(Digits{flag_or(component, "individual_digits", false, place)});
  } else if (type == "ByteLevel") {
    add_byte_level(component, place);
  } else {
    refuse_component(where_, type, "ByteLevel, Split, Digits and Sequence");
  }
}

void PreTokenizer::add_byte_level(const Json& component, const std::string& place) {
  is_byte_level_ = true;
  if (flag_or(component, "add_prefix_space", true, place)) steps_.emplace_back(LeadingSpace{});
  if (flag_or(component, "use_regex", true, place)) {
    steps_.emplace_back(Split{Regex(kGpt2Pattern, place), SplitBehavior::isolated, false});
  }
}

std::vector<std::string_view> PreTokenizer::operator()(std::string_view text,
                                                       std::vector<std::string>& storage) const {
  std::vector<std::string_view> pieces;
  if (!text.empty()) pieces.push_back(text);
  std::vector<std::string_view> parts;
  for (const auto& step : steps_) {
    if (std::holds_alternative<LeadingSpace>(step)) {
      storage.clear();
      storage.reserve(pieces.size());  // pieces point into it
      for (std::string_view& piece : pieces) {
        if (piece.front() != ' ') piece = storage.emplace_back(1, ' ').append(piece);
      }
      continue;
    }
    parts.clear();
    for (const std::string_view piece : pieces) {
      std::vector<TextCut> cuts;
      if (const auto* split = std::get_if<Split>(&step)) {
        cuts = split->pattern.cut(piece);
        for (TextCut& cut : cuts) cut.is_match = cut.is_match != split->invert;
        cuts = apply_behavior(std::move(cuts), split->behavior);
      } else {
        cuts = cut_digits(piece);
        if (!std::get<Digits>(step).individual) cuts = merge_runs(cuts);
      }
      for (const TextCut& cut : cuts) {
        if (cut.begin < cut.end) parts.push_back(piece.substr(cut.begin, cut.end - cut.begin));
      }
    }
    pieces.swap(parts);
  }
  return pieces;
}

}  // namespace gridmill::tokenizer_detail
