#include "convert/folder_tokenizer.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "convert/tokenizer_settings.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill::convert_detail {

namespace {

constexpr const char* kVocabulary = "vocab.json";
constexpr const char* kMerges = "merges.txt";

std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t kMostNamed = 5;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kMostNamed); ++i) {
    list += fmt::format("{}`{}`", i == 0 ? "" : ", ", names[i]);
  }
  return names.size() > kMostNamed ? list + ", ..." : list;
}

/// Whether the template of a tokenizer.json puts a special token in front of a text, and behind it.
std::pair<bool, bool> template_of(const Json& processor) {
  if (!processor.is_object()) return {false, false};
  std::pair<bool, bool> found = {false, false};
  if (processor.contains("processors") && processor["processors"].is_array()) {
    for (const Json& part : processor["processors"]) {
      const auto [before, behind] = template_of(part);
      found = {found.first || before, found.second || behind};
    }
  }
  if (!processor.contains("single") || !processor["single"].is_array()) return found;
  bool has_text = false;
  for (const Json& part : processor["single"]) {
    if (part.is_object() && part.contains("Sequence")) has_text = true;
    if (part.is_object() && part.contains("SpecialToken")) {
      (has_text ? found.second : found.first) = true;
    }
  }
  return found;
}

/// tokenizer.json counts; names what the files beside it say otherwise.
void compare_with_settings(const std::string& text, const std::string& where,
                           const TokenizerSettings& settings) {
  Json root = parse_json(text, where);
  if (!root.is_object()) return;  // refused when it is loaded
  const auto [adds_bos, adds_eos] = template_of(root.value("post_processor", Json()));
  const auto compare = [&](const char* name, bool does) {
    const std::optional<bool> asked = settings.flag(name);
    if (!asked || *asked == does) return;
    log::warn("{}: {} is {}, but {} {} such a token; tokenizer.json counts, as in transformers 5",
              settings.where(), name, *asked, where, does ? "adds" : "adds no");
  };
  compare("add_bos_token", adds_bos);
  compare("add_eos_token", adds_eos);

  std::set<std::string> known;
  if (root.contains("added_tokens") && root["added_tokens"].is_array()) {
    for (const Json& token : root["added_tokens"]) {
      if (token.is_object() && token.contains("content") && token["content"].is_string()) {
        known.insert(token["content"].get<std::string>());
      }
    }
  }
  std::vector<std::string> missing;
  for (const auto& [id, token] : settings.added_tokens()) {
    const auto content = token.at("content").get<std::string>();
    if (!known.contains(content)) missing.push_back(content);
  }
  if (!missing.empty()) {
    log::warn("{} lacks {} added tokens that the files beside it have: {}; they are not read",
              where, missing.size(), list_of(missing));
  }
}

FoundTokenizer with_sentencepiece(ModelFolder& folder) {
  const std::string name(kSentencePieceTokenizer);
  FoundTokenizer found{.kind = name, .bytes = folder.read(name), .where = folder.place_of(name)};
  const TokenizerSettings settings(folder);
  settings.report_others();
  Json line = Json::object();
  if (!settings.added_tokens().empty()) {
    line["added_tokens"] = Json::array();
    for (const auto& [id, token] : settings.added_tokens()) line["added_tokens"].push_back(token);
    // transformers: legacy tokenizers put a space in front of every stretch between added tokens.
    if (settings.flag("legacy").value_or(false)) line["prefix_every_stretch"] = true;
  }
  for (const char* flag : {"add_bos_token", "add_eos_token"}) {
    if (const auto value = settings.flag(flag)) line[flag] = *value;
  }
  if (settings.flag("add_prefix_space") == false) {
    log::warn("{}: add_prefix_space is false; {} counts", settings.where(), found.where);
  }
  if (line.empty()) return found;
  // Where the file itself has no begin or end token, the settings may name an added one.
  for (const char* token : {"bos_token", "eos_token"}) {
    const std::string content = settings.special_token(token);
    const bool is_added = std::any_of(
        settings.added_tokens().begin(), settings.added_tokens().end(),
        [&content](const auto& entry) { return entry.second.at("content") == content; });
    if (!content.empty() && is_added) line[token] = content;
  }
  log::info("{}: read with {} added tokens of the files beside it", found.where,
            settings.added_tokens().size());
  found.kind = kSentencePieceBundle;
  found.bytes = line.dump() + "\n" + found.bytes;
  return found;
}

Json merges_of(const std::string& text, const std::string& where) {
  Json merges = Json::array();
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string::npos) {
      throw FormatError(
          fmt::format("{}: line {} is not two tokens with a space between them", where, number));
    }
    if (!is_utf8(line)) {
      throw FormatError(fmt::format("{}: line {} is not UTF-8", where, number));
    }
    merges.push_back(Json::array({line.substr(0, space), line.substr(space + 1)}));
  }
  return merges;
}

/// The splitting of a text that goes with the class of a tokenizer without a tokenizer.json.
struct ByteLevelStyle {
  Json normalizer;
  Json pre_tokenizer;
};

ByteLevelStyle style_of(const TokenizerSettings& settings, const std::string& where) {
  const std::string name = settings.tokenizer_class();
  const auto byte_level = [](bool prefix, bool use_regex) {
    return Json{{"type", "ByteLevel"},
                {"add_prefix_space", prefix},
                {"trim_offsets", true},
                {"use_regex", use_regex}};
  };
  constexpr std::array<std::string_view, 4> kGpt2Like = {"", "GPT2Tokenizer", "CodeGenTokenizer",
                                                         "GPTNeoXTokenizer"};
  const bool prefix = settings.flag("add_prefix_space").value_or(false);
  if (name == "Qwen2Tokenizer") {
    constexpr const char* kPattern =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    const Json split = {{"type", "Split"},
                        {"pattern", {{"Regex", kPattern}}},
                        {"behavior", "Isolated"},
                        {"invert", false}};
    return {.normalizer = {{"type", "NFC"}},
            .pre_tokenizer = {{"type", "Sequence"},
                              {"pretokenizers", Json::array({split, byte_level(prefix, false)})}}};
  }
  if (std::find(kGpt2Like.begin(), kGpt2Like.end(), name) == kGpt2Like.end()) {
    throw FormatError(
        fmt::format("{}: {} and {} of tokenizer_class {} are unsupported, those of GPT2Tokenizer "
                    "and Qwen2Tokenizer are read; save the tokenizer as tokenizer.json, or give "
                    "another one with --tokenizer",
                    where, kVocabulary, kMerges, name));
  }
  return {.normalizer = nullptr, .pre_tokenizer = byte_level(prefix, true)};
}

/// Added tokens of the settings, and special tokens that stand in the vocabulary.
Json added_tokens_of(const TokenizerSettings& settings, const Json& vocabulary) {
  std::map<std::int64_t, Json> added = settings.added_tokens();
  std::set<std::string> special = settings.special_tokens();
  special.insert("<|endoftext|>");  // GPT2Tokenizer's own begin, end and unknown token
  for (const std::string& content : special) {
    const auto found = vocabulary.find(content);
    if (found == vocabulary.end() || !found->is_number_unsigned()) continue;
    added.try_emplace(
        found->get<std::int64_t>(),
        Json{{"id", *found}, {"content", content}, {"special", true}, {"normalized", false}});
  }
  Json list = Json::array();
  for (const auto& [id, token] : added) list.push_back(token);
  return list;
}

FoundTokenizer with_vocabulary_and_merges(ModelFolder& folder) {
  const std::string where = folder.place_of(kVocabulary);
  const TokenizerSettings settings(folder);
  settings.report_others();
  ByteLevelStyle style = style_of(settings, where);
  const Json vocabulary = parse_json(folder.read(kVocabulary), where);
  if (!vocabulary.is_object()) throw FormatError(where + ": expected an object of tokens and ids");
  Json root = {{"version", "1.0"},
               {"added_tokens", added_tokens_of(settings, vocabulary)},
               {"normalizer", std::move(style.normalizer)},
               {"pre_tokenizer", std::move(style.pre_tokenizer)},
               {"post_processor", nullptr},
               {"decoder", {{"type", "ByteLevel"}}},
               {"model",
                {{"type", "BPE"},
                 {"vocab", vocabulary},
                 {"merges", merges_of(folder.read(kMerges), folder.place_of(kMerges))}}}};
  Json single = Json::array();
  Json specials = Json::object();
  const auto add = [&](const char* flag, const char* name) {
    if (!settings.flag(flag).value_or(false)) return;
    const std::string token = settings.special_token(name);
    for (const Json& added : root["added_tokens"]) {
      if (added.at("content") == token) {
        specials[token] = {{"id", token}, {"ids", Json::array({added.at("id")})}};
        single.push_back({{"SpecialToken", {{"id", token}}}});
        return;
      }
    }
    throw FormatError(fmt::format("{}: {} is true, but {} `{}` is no token", settings.where(), flag,
                                  name, token));
  };
  add("add_bos_token", "bos_token");
  single.push_back({{"Sequence", {{"id", "A"}}}});
  add("add_eos_token", "eos_token");
  if (!specials.empty()) {
    root["post_processor"] = {
        {"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", specials}};
  }
  log::info("{}: read together with {} as a byte-level BPE of {} tokens", where, kMerges,
            vocabulary.size());
  return {.kind = std::string(kHuggingFaceTokenizer), .bytes = root.dump(), .where = where};
}

/// Names of tokenizer files of kinds that are not read.
std::vector<std::string> other_tokenizers(const ModelFolder& folder) {
  std::vector<std::string> names;
  for (const std::string& name : folder.names()) {
    if (name.ends_with(".tiktoken") || name == "vocab.txt" || name.ends_with(".bpe.model") ||
        name == "spiece.model" || name.starts_with("tekken") || name == kVocabulary ||
        name == kMerges || name.starts_with("rwkv_vocab")) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace

FoundTokenizer find_tokenizer(ModelFolder& folder) {
  const std::string json(kHuggingFaceTokenizer);
  if (folder.has(json)) {
    FoundTokenizer found{.kind = json, .bytes = folder.read(json), .where = folder.place_of(json)};
    const TokenizerSettings settings(folder);
    compare_with_settings(found.bytes, found.where, settings);
    settings.report_others();
    return found;
  }
  if (folder.has(kSentencePieceTokenizer)) return with_sentencepiece(folder);
  if (folder.has(kVocabulary) && folder.has(kMerges)) return with_vocabulary_and_merges(folder);
  if (const std::vector<std::string> others = other_tokenizers(folder); !others.empty()) {
    throw FormatError(fmt::format(
        "{}: the tokenizer {} is of an unsupported kind{}; gridmill reads tokenizer.json, "
        "tokenizer.model (SentencePiece), and vocab.json with merges.txt; save it as "
        "tokenizer.json, or give another file with --tokenizer",
        folder.path(), list_of(others),
        std::any_of(others.begin(), others.end(),
                    [](const std::string& name) { return name.ends_with(".tiktoken"); })
            ? " (tiktoken: lines of base64 and rank)"
            : ""));
  }
  return {};
}

}  // namespace gridmill::convert_detail
