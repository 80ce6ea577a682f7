#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "tokenizer/added_tokens_detail.hpp"
#include "tokenizer/bpe_detail.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/normalizer_detail.hpp"
#include "tokenizer/parts_detail.hpp"
#include "tokenizer/pre_tokenizer_detail.hpp"
#include "tokenizer/unigram.hpp"

namespace gridmill::tokenizer_detail {
namespace {

const Json& component_of(const Json& root, const char* name) {
  static const Json kNone;
  return root.contains(name) ? root.at(name) : kNone;
}

using SubwordModel = std::variant<BpeModel, UnigramModel>;

SubwordModel read_model(const Json& model, bool is_byte_level, const std::string& where) {
  // Old files have no type; their shape distinguishes the two.
  const std::string untyped = has(model, "merges")                                  ? "BPE"
                              : has(model, "vocab") && model.at("vocab").is_array() ? "Unigram"
                                                                                    : "";
  const std::string type =
      model.contains("type") || untyped.empty() ? type_of(model, where) : untyped;
  if (type == "Unigram") return UnigramModel(model, is_byte_level, where);
  if (type != "BPE") refuse_component(where, type, "BPE and Unigram");
  return BpeModel(model, is_byte_level, where);
}

/// Added tokens of the raw text, normalizer, added tokens of the normalised text, pre-tokenizer,
/// model. Source: `AddedVocabulary::extract_and_normalize` of Hugging Face tokenizers.
class HuggingFaceEncoder : public TextEncoder {
 public:
  HuggingFaceEncoder(const Json& root, const std::vector<AddedToken>& added,
                     const std::string& where)
      : normalizer_(component_of(root, "normalizer"), where + ": normalizer"),
        pre_tokenizer_(component_of(root, "pre_tokenizer"), where + ": pre_tokenizer"),
        model_(read_model(object_at(root, "model", where), pre_tokenizer_.is_byte_level(),
                          where + ": model")) {
    for (const AddedToken& token : added) {
      longest_added_ = std::max(longest_added_, token.content.size());
      if (token.normalized) {
        in_normalized_text_.add(token, normalizer_(token.content).text, where);
      } else {
        in_raw_text_.add(token, token.content, where);
      }
    }
  }

  [[nodiscard]] const SubwordModel& model() const { return model_; }

  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, Stretch stretch) const override {
    std::vector<TokenId> ids;
    Scratch scratch;
    for (const Segment& raw : in_raw_text_.segments(text)) {
      if (raw.id) {
        ids.push_back(*raw.id);
      } else {
        const bool first = stretch == Stretch::at_start && raw.text.data() == text.data();
        append_stretch(raw.text, first, scratch, ids);
      }
    }
    return ids;
  }

  [[nodiscard]] std::size_t most_bytes_of_an_id() const override {
    const std::size_t longest =
        std::visit([](const auto& model) { return model.most_bytes_of_an_id(); }, model_);
    if (longest == 0 || pre_tokenizer_.drops_text()) return 0;
    return std::max(longest, longest_added_) * normalizer_.shrinks_by();
  }

 private:
  std::size_t longest_added_ = 0;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  SubwordModel model_;
  AddedTokenFinder in_raw_text_;
  AddedTokenFinder in_normalized_text_;

  struct Scratch {
    MergeScratch merges;
    std::deque<std::string> storage;
  };

  // Each stretch between added tokens is normalised by itself: a Prepend applies to each.
  void append_stretch(std::string_view raw, bool is_first, Scratch& scratch,
                      std::vector<TokenId>& ids) const {
    const NormalizedText normalized =
        normalizer_.changes_nothing() ? NormalizedText{std::string(raw)} : normalizer_(raw);
    for (const Segment& segment : in_normalized_text_.segments(normalized.text)) {
      if (segment.id) {
        ids.push_back(*segment.id);
        continue;
      }
      const bool at_start =
          is_first && normalized.keeps_start && segment.text.data() == normalized.text.data();
      const Stretch stretch = at_start ? Stretch::at_start : Stretch::within;
      for (const std::string_view piece : pre_tokenizer_(segment.text, stretch, scratch.storage)) {
        if (const auto* bpe = std::get_if<BpeModel>(&model_)) {
          bpe->append_ids(piece, scratch.merges, ids);
        } else {
          std::get<UnigramModel>(model_).append_ids(piece, ids);
        }
      }
    }
  }
};

void refuse_unsupported_fields(const Json& root, const std::string& where) {
  const std::string version = text_or(root, "version", "1.0", where);
  if (version != "1.0") refuse_component(where + ": version", version, "version 1.0");
  // `truncation` and `padding` are settings of a training script; encoding plainly ignores both.
}

void take_id(TokenizerParts& parts, TokenId id, DecodedToken token, const std::string& name,
             const std::string& where) {
  const auto index = static_cast<std::size_t>(id);
  if (index >= parts.tokens.size()) parts.tokens.resize(index + 1);
  if (parts.tokens[index].is_taken) {
    throw FormatError(
        fmt::format("{}: token id {} is given twice, once for `{}`", where, id, name));
  }
  parts.tokens[index] = std::move(token);
  parts.tokens[index].is_taken = true;
}

void read_model_tokens(TokenizerParts& parts, const SubwordModel& model,
                       const TokenDecoder& decoder, const std::string& where) {
  if (const auto* bpe = std::get_if<BpeModel>(&model)) {
    for (const auto& [token, id] : bpe->vocabulary()) {
      take_id(parts, id, decoder.decode_token(token), token, where);
    }
    return;
  }
  for (const std::string& token : std::get<UnigramModel>(model).tokens()) {
    const auto id = static_cast<TokenId>(parts.tokens.size());
    take_id(parts, id, decoder.decode_token(token), token, where);
  }
}

// Fills the table by id. An added token may repeat an entry of the vocabulary.
void read_tokens(TokenizerParts& parts, const SubwordModel& model,
                 const std::vector<AddedToken>& added, const TokenDecoder& decoder,
                 const std::string& where) {
  read_model_tokens(parts, model, decoder, where);
  TextMap<TokenId> seen;
  for (const AddedToken& token : added) {
    const std::optional<TokenId> known =
        std::visit([&](const auto& any) { return any.find(token.content); }, model);
    const auto [earlier, is_first] = seen.try_emplace(token.content, token.id);
    const TokenId expected = known.value_or(earlier->second);
    if (expected != token.id) {
      throw FormatError(fmt::format("{}: added token `{}` has id {} and id {}", where,
                                    token.content, expected, token.id));
    }
    DecodedToken decoded = decoder.decode_added_token(token.content);
    decoded.is_special = token.special;
    if (!known && is_first) {
      take_id(parts, token.id, std::move(decoded), token.content, where);
    } else {
      decoded.is_taken = true;
      parts.tokens[static_cast<std::size_t>(token.id)] = std::move(decoded);
    }
  }
}

void append_special(const Json& template_processing, const std::string& name,
                    std::vector<TokenId>& ids, int known_ids, const std::string& where) {
  const Json& specials = object_at(template_processing, "special_tokens", where);
  const std::string place = where + ": special_tokens: " + name;
  for (const Json& id : array_at(object_at(specials, name.c_str(), where), "ids", place)) {
    ids.push_back(count_of(id, known_ids - 1, place + ": id"));
  }
}

// The template for a single text: special tokens, the text once, special tokens. Segment numbers
// (`type_id`) have no meaning for text generation.
void read_template(const Json& component, TokenizerParts& parts, const std::string& where) {
  bool has_text = false;
  for (const Json& part : array_at(component, "single", where)) {
    if (has(part, "Sequence")) {
      const std::string& name = text_at(object_at(part, "Sequence", where), "id", where);
      if (name != "A" || has_text) refuse_component(where, name, "templates with one sequence A");
      has_text = true;
    } else {
      const std::string& name = text_at(object_at(part, "SpecialToken", where), "id", where);
      append_special(component, name, has_text ? parts.suffix : parts.prefix,
                     static_cast<int>(parts.tokens.size()), where);
    }
  }
  if (!has_text)
    refuse_component(where, "template without the text", "templates with a sequence A");
}

void read_post_processor(const Json& component, TokenizerParts& parts, bool& has_template,
                         const std::string& where) {
  if (component.is_null()) return;
  const std::string& type = type_of(component, where);
  const std::string place = where + " " + type;
  if (type == "Sequence") {
    for (const Json& part : array_at(component, "processors", place)) {
      read_post_processor(part, parts, has_template, where);
    }
  } else if (type == "TemplateProcessing") {
    if (has_template) refuse_component(where, "second TemplateProcessing", "one");
    has_template = true;
    read_template(component, parts, place);
  } else if (type != "ByteLevel") {  // that one changes offsets only
    refuse_component(where, type, "TemplateProcessing, ByteLevel and Sequence");
  }
}

TokenizerParts read_root(const Json& root, const std::string& where) {
  if (!root.is_object()) throw FormatError(where + ": expected a JSON object");
  refuse_unsupported_fields(root, where);
  const TokenDecoder decoder(component_of(root, "decoder"), where + ": decoder");
  const std::vector<AddedToken> added = read_added_tokens(root, kMostTokens - 1, where);
  auto encoder = std::make_unique<HuggingFaceEncoder>(root, added, where);
  TokenizerParts parts;
  read_tokens(parts, encoder->model(), added, decoder, where);
  if (parts.tokens.empty()) throw FormatError(where + ": the vocabulary is empty");
  parts.encoder = std::move(encoder);
  parts.rules = decoder.rules();
  bool has_template = false;
  read_post_processor(component_of(root, "post_processor"), parts, has_template,
                      where + ": post_processor");
  if (!parts.prefix.empty()) parts.bos = parts.prefix.front();
  return parts;
}

}  // namespace

TokenizerParts read_hugging_face(std::string_view text, const std::string& where) {
  try {
    return read_root(parse_json(text, where), where);
  } catch (const Json::exception& error) {
    throw FormatError(where + ": " + error.what());
  }
}

}  // namespace gridmill::tokenizer_detail
