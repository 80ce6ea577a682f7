#include <algorithm>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/byte_level_detail.hpp"
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

// Words and runs of symbols; white space between them is dropped. The reference library runs this
// one with an engine whose \w includes joiners: the pattern is \w+|[^\w\s]+.
constexpr std::string_view kWhitespacePattern =
    R"([\w\u200c\u200d]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d\s]+)";

SplitBehavior read_behavior(const Json& component, const std::string& where) {
  const std::string name = text_or(component, "behavior", "Isolated", where);
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  refuse_component(where + ": behavior", name,
                   "Removed, Isolated, MergedWithPrevious, MergedWithNext and Contiguous");
}

std::vector<TextCut> cut_characters(std::string_view text, bool (*is_match)(char32_t)) {
  std::vector<TextCut> cuts;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = next_utf8(text, i);
    const bool match = unit.well_formed && is_match(unit.code_point);
    if (!match && !cuts.empty() && !cuts.back().is_match) {
      cuts.back().end += unit.length;
    } else {
      cuts.push_back({i, i + unit.length, match});
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
  if (type == "Sequence") {
    for (const Json& part : array_at(component, "pretokenizers", place)) add(part);
    return;
  }
  if (type == "Split" || type == "Punctuation") {
    drops_text_ = drops_text_ || text_or(component, "behavior", "", place) == "Removed";
  }
  if (is_byte_level_) {
    if (type == "ByteLevel" || type == "Metaspace") {
      throw FormatError(place + " after ByteLevel is unsupported; only steps that cut may follow");
    }
    if (!steps_.empty() && std::holds_alternative<FromByteLevel>(steps_.back())) {
      steps_.pop_back();
    } else {
      steps_.emplace_back(ToByteLevel{});
    }
  }
  if (type == "Split") {
    // The field `behavior` is optional in Punctuation only.
    static_cast<void>(text_at(component, "behavior", place));
    steps_.emplace_back(Split{read_pattern(component, place), read_behavior(component, place),
                              flag_or(component, "invert", false, place)});
  } else if (type == "Digits") {
    const bool individual = flag_or(component, "individual_digits", false, place);
    steps_.emplace_back(CutCharacters{
        is_numeric, individual ? SplitBehavior::isolated : SplitBehavior::contiguous});
  } else if (type == "Punctuation") {
    steps_.emplace_back(CutCharacters{is_punctuation, read_behavior(component, place)});
  } else if (type == "WhitespaceSplit") {
    steps_.emplace_back(CutCharacters{is_white_space, SplitBehavior::removed});
  } else if (type == "Whitespace") {
    steps_.emplace_back(Split{Regex(kWhitespacePattern, place), SplitBehavior::removed, true});
  } else if (type == "Metaspace") {
    steps_.emplace_back(read_metaspace(component, place));
  } else if (type == "ByteLevel") {
    add_byte_level(component, place);
    return;
  } else {
    refuse_component(where_, type,
                     "ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, "
                     "Metaspace and Sequence");
  }
  if (is_byte_level_) steps_.emplace_back(FromByteLevel{});
}

void PreTokenizer::add_byte_level(const Json& component, const std::string& place) {
  is_byte_level_ = true;
  if (flag_or(component, "add_prefix_space", true, place)) steps_.emplace_back(LeadingSpace{});
  if (flag_or(component, "use_regex", true, place)) {
    steps_.emplace_back(Split{Regex(kGpt2Pattern, place), SplitBehavior::isolated, false});
  }
}

template <typename Cutter>
void PreTokenizer::Pieces::cut_each(const Cutter& cutter) {
  std::vector<std::string_view> parts;
  bool is_first = true;
  for (const std::string_view piece : pieces) {
    for (const TextCut& cut : cutter(piece)) {
      if (cut.begin == cut.end) continue;
      if (parts.empty()) at_start = at_start && is_first && cut.begin == 0;
      parts.push_back(piece.substr(cut.begin, cut.end - cut.begin));
    }
    is_first = false;
  }
  pieces.swap(parts);
}

void PreTokenizer::Pieces::apply(const Split& split) {
  cut_each([&split](std::string_view piece) {
    std::vector<TextCut> cuts = split.pattern.cut(piece);
    for (TextCut& cut : cuts) cut.is_match = cut.is_match != split.invert;
    return apply_behavior(std::move(cuts), split.behavior);
  });
}

void PreTokenizer::Pieces::apply(const CutCharacters& cut) {
  cut_each([&cut](std::string_view piece) {
    return apply_behavior(cut_characters(piece, cut.is_match), cut.behavior);
  });
}

void PreTokenizer::Pieces::apply(const Metaspace& metaspace) {
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    std::string& marked = storage.emplace_back();
    const bool starts = metaspace.prepend == PrependScheme::always ||
                        (metaspace.prepend == PrependScheme::first && at_start && i == 0);
    if (starts && pieces[i].front() != ' ' && !pieces[i].starts_with(metaspace.mark)) {
      marked = metaspace.mark;
    }
    for (const char c : pieces[i]) {
      if (c == ' ') {
        marked += metaspace.mark;
      } else {
        marked += c;
      }
    }
    pieces[i] = marked;
  }
  if (!metaspace.split) return;
  cut_each([&metaspace](std::string_view piece) {
    std::vector<TextCut> cuts;
    for (std::size_t begin = 0; begin < piece.size();) {
      const std::size_t end = std::min(piece.find(metaspace.mark, begin + 1), piece.size());
      cuts.push_back({begin, end, false});
      begin = end;
    }
    return cuts;
  });
}

void PreTokenizer::Pieces::apply(LeadingSpace /*step*/) {
  for (std::string_view& piece : pieces) {
    if (piece.front() != ' ') piece = storage.emplace_back(1, ' ').append(piece);
  }
}

void PreTokenizer::Pieces::apply(ToByteLevel /*step*/) {
  for (std::string_view& piece : pieces) piece = storage.emplace_back(to_byte_level(piece));
}

void PreTokenizer::Pieces::apply(FromByteLevel /*step*/) {
  // Cuts are between characters of the alphabet, so every piece spells bytes.
  for (std::string_view& piece : pieces) {
    piece = storage.emplace_back(from_byte_level(piece).value());
  }
}

std::vector<std::string_view> PreTokenizer::operator()(std::string_view text, Stretch stretch,
                                                       std::deque<std::string>& storage) const {
  storage.clear();
  Pieces pieces{.pieces = {}, .at_start = stretch == Stretch::at_start, .storage = storage};
  if (!text.empty()) pieces.pieces.push_back(text);
  for (const auto& step : steps_) {
    std::visit([&pieces](const auto& known) { pieces.apply(known); }, step);
  }
  return std::move(pieces.pieces);
}

}  // namespace gridmill::tokenizer_detail
