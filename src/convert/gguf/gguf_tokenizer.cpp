#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "convert/gguf/gguf.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

// The tokenizer of a GGUF file, written as a file of a kind that gridmill reads: byte-level BPE
// ("gpt2") as a tokenizer.json, SentencePiece ("llama": BPE, "t5": unigram) as a tokenizer.model.
// Source: the keys in docs/gguf.md of ggml; sentencepiece_model.proto.
namespace gridmill::convert_detail {

namespace {

enum TokenType : std::int64_t { normal = 1, unknown, control, user_defined, unused, byte };

/// How texts are split before BPE, by tokenizer.ggml.pre. Patterns are those of the models'
/// tokenizer.json files.
struct PreTokenizer {
  std::string_view name;
  std::string_view pattern = "";  ///< empty: GPT-2's own
  bool single_digits = false;     ///< digits are split off one by one first
  bool nfc = false;               ///< texts are composed first (Unicode NFC)
  bool whole_pieces = false;      ///< a piece that is a token is taken without merging
  bool begin_token = false;       ///< the default of add_bos_token
};

constexpr std::string_view kCl100k =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array kPreTokenizers = {
    PreTokenizer{.name = "gpt-2"},
    PreTokenizer{.name = "phi-2"},
    PreTokenizer{.name = "mpt"},
    PreTokenizer{.name = "olmo"},
    PreTokenizer{.name = "starcoder", .single_digits = true},
    PreTokenizer{.name = "refact", .single_digits = true},
    PreTokenizer{.name = "smollm", .single_digits = true},
    PreTokenizer{.name = "command-r", .single_digits = true, .nfc = true, .begin_token = true},
    PreTokenizer{.name = "qwen2", .pattern = kQwen2, .nfc = true},
    PreTokenizer{.name = "deepseek-r1-qwen", .pattern = kQwen2, .nfc = true},
    PreTokenizer{.name = "stablelm2", .pattern = kQwen2, .nfc = true},
    PreTokenizer{.name = "dbrx", .pattern = kCl100k},
    PreTokenizer{
        .name = "llama-bpe", .pattern = kCl100k, .whole_pieces = true, .begin_token = true},
    PreTokenizer{.name = "llama3", .pattern = kCl100k, .whole_pieces = true, .begin_token = true},
    PreTokenizer{.name = "tekken", .pattern = kTekken, .whole_pieces = true, .begin_token = true},
    PreTokenizer{.name = "gpt-4o", .pattern = kO200k},
};

/// The keys below tokenizer.ggml.
class Vocabulary {
 public:
  explicit Vocabulary(const GgufFile& file) : file_(file) {
    for (const Json& token : list("tokens")) {
      if (!token.is_string()) fail("tokens", "holds something else than texts");
      tokens_.push_back(token.get<std::string>());
    }
    types_.assign(tokens_.size(), normal);
    if (find("token_type") == nullptr) return;
    const Json& types = list("token_type");
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (!types[i].is_number_integer()) fail("token_type", "holds something else than integers");
      types_[i] = types[i].get<std::int64_t>();
    }
  }

  [[nodiscard]] std::size_t size() const { return tokens_.size(); }
  [[nodiscard]] const std::string& token(std::size_t id) const { return tokens_[id]; }
  [[nodiscard]] std::int64_t type(std::size_t id) const { return types_[id]; }
  [[nodiscard]] const Json* find(const std::string& name) const {
    const auto found = file_.metadata.find("tokenizer.ggml." + name);
    return found == file_.metadata.end() ? nullptr : &*found;
  }
  /// A list with an entry for each token, but for `tokens` and `merges`.
  [[nodiscard]] const Json& list(const std::string& name) const {
    const Json* found = find(name);
    if (found == nullptr || !found->is_array()) fail(name, "is missing or no array");
    if (name != "tokens" && name != "merges" && found->size() != tokens_.size()) {
      fail(name, fmt::format("has {} entries for {} tokens", found->size(), tokens_.size()));
    }
    return *found;
  }
  [[nodiscard]] std::string text(const std::string& name, const std::string& fallback) const {
    const Json* found = find(name);
    if (found == nullptr) return fallback;
    if (!found->is_string()) fail(name, "is no text");
    return found->get<std::string>();
  }
  [[nodiscard]] bool flag(const std::string& name, bool fallback) const {
    const Json* found = find(name);
    if (found == nullptr) return fallback;
    if (!found->is_boolean()) fail(name, "is no flag");
    return found->get<bool>();
  }
  /// The id that a key such as "bos_token_id" gives; none without one, or beyond the tokens.
  [[nodiscard]] std::optional<std::size_t> id(const std::string& name) const {
    const Json* found = find(name);
    if (found == nullptr || !found->is_number_integer() || *found < 0) return std::nullopt;
    const auto value = found->get<std::uint64_t>();
    return value < tokens_.size() ? std::optional<std::size_t>(value) : std::nullopt;
  }
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const {
    throw FormatError(fmt::format("{}: key tokenizer.ggml.{} {}", file_.path, name, problem));
  }

 private:
  const GgufFile& file_;
  std::vector<std::string> tokens_;
  std::vector<std::int64_t> types_;
};

Json added_token(const Vocabulary& vocabulary, std::size_t id) {
  return {{"id", id},
          {"content", vocabulary.token(id)},
          {"special", vocabulary.type(id) != user_defined},
          {"normalized", false}};
}

const PreTokenizer& pre_tokenizer_of(const Vocabulary& vocabulary) {
  const std::string name = vocabulary.text("pre", "");
  std::string list;
  for (const PreTokenizer& one : kPreTokenizers) {
    if (one.name == name) return one;
    list += (list.empty() ? "" : ", ") + std::string(one.name);
  }
  vocabulary.fail("pre", fmt::format("is \"{}\": this splitting of texts is unsupported; gridmill "
                                     "knows {}; give the model's tokenizer.json with --tokenizer",
                                     name, list));
}

Json splitting_of(const PreTokenizer& pre) {
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", pre.pattern.empty()}};
  Json steps = Json::array();
  if (pre.single_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  if (!pre.pattern.empty()) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", pre.pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(byte_level);
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

/// Special tokens in front of a text and behind it.
Json template_of(const Vocabulary& vocabulary, bool begin_token) {
  Json single = Json::array();
  Json specials = Json::object();
  const auto add = [&](const char* flag, bool fallback, const char* key) {
    const auto id = vocabulary.id(key);
    if (!vocabulary.flag(flag, fallback) || !id) return;
    const std::string& token = vocabulary.token(*id);
    specials[token] = {
        {"id", token}, {"ids", Json::array({*id})}, {"tokens", Json::array({token})}};
    single.push_back({{"SpecialToken", {{"id", token}}}});
  };
  add("add_bos_token", begin_token, "bos_token_id");
  single.push_back({{"Sequence", {{"id", "A"}}}});
  add("add_eos_token", false, "eos_token_id");
  if (specials.empty()) return nullptr;
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", specials}};
}

std::string byte_level_bpe(const Vocabulary& vocabulary, const std::string& path) {
  const PreTokenizer& pre = pre_tokenizer_of(vocabulary);
  Json vocab = Json::object();
  Json added = Json::array();
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.type(id) == unused) continue;  // padding of the embedding
    if (vocabulary.type(id) != normal && vocabulary.type(id) != byte) {
      added.push_back(added_token(vocabulary, id));
    } else if (!vocab.emplace(vocabulary.token(id), id).second) {
      vocabulary.fail("tokens", fmt::format("has token {} a second time", id));
    }
  }
  const Json root = {{"version", "1.0"},
                     {"added_tokens", added},
                     {"normalizer", pre.nfc ? Json{{"type", "NFC"}} : Json()},
                     {"pre_tokenizer", splitting_of(pre)},
                     {"post_processor", template_of(vocabulary, pre.begin_token)},
                     {"decoder", {{"type", "ByteLevel"}}},
                     {"model",
                      {{"type", "BPE"},
                       {"vocab", vocab},
                       {"merges", vocabulary.list("merges")},
                       {"ignore_merges", pre.whole_pieces}}}};
  try {
    return root.dump();
  } catch (const Json::exception&) {  // the only thing that can be wrong
    throw FormatError(path + ": key tokenizer.ggml.tokens holds a text that is not UTF-8");
  }
}

/// Writes Protocol Buffers messages.
class WireWriter {
 public:
  void integer(unsigned field, std::int64_t value) {
    varint(std::uint64_t{field} << 3U);
    varint(static_cast<std::uint64_t>(value));
  }
  void real(unsigned field, float value) {
    varint(std::uint64_t{field} << 3U | 5U);
    std::array<char, sizeof value> bytes{};
    std::memcpy(bytes.data(), &value, sizeof value);
    text_.append(bytes.data(), bytes.size());
  }
  void bytes(unsigned field, std::string_view value) {
    varint(std::uint64_t{field} << 3U | 2U);
    varint(value.size());
    text_ += value;
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  void varint(std::uint64_t value) {
    while (value >= 0x80U) {
      text_ += static_cast<char>(value | 0x80U);
      value >>= 7U;
    }
    text_ += static_cast<char>(value);
  }
};

std::string charsmap_of(const Vocabulary& vocabulary) {
  std::string result;
  const Json* found = vocabulary.find("precompiled_charsmap");
  if (found == nullptr) return result;
  if (!found->is_array()) vocabulary.fail("precompiled_charsmap", "is no array");
  for (const Json& value : *found) {
    if (!value.is_number_integer()) vocabulary.fail("precompiled_charsmap", "is no list of bytes");
    result += static_cast<char>(value.get<std::int64_t>());
  }
  return result;
}

/// A SentencePiece file in front of which a line of settings names the added tokens.
std::string sentencepiece(const Vocabulary& vocabulary, bool unigram) {
  WireWriter file;
  const Json& scores = vocabulary.list("scores");
  Json added = Json::array();
  bool has_bytes = false;
  for (std::size_t id = 0; id < vocabulary.size(); ++id) {
    std::int64_t type = vocabulary.type(id);
    if (type == control || type == unknown) added.push_back(added_token(vocabulary, id));
    if (type == unused) type = control;  // padding of the embedding: never in a text
    has_bytes = has_bytes || type == byte;
    if (!scores[id].is_number()) vocabulary.fail("scores", "holds something else than numbers");
    WireWriter piece;
    piece.bytes(1, vocabulary.token(id));
    piece.real(2, scores[id].get<float>());
    piece.integer(3, type);
    file.bytes(1, piece.text());
  }
  const auto id_of = [&](const char* key) {
    const auto id = vocabulary.id(key);
    return id ? static_cast<std::int64_t>(*id) : -1;
  };
  WireWriter trainer;
  trainer.integer(3, unigram ? 1 : 2);
  trainer.integer(35, has_bytes ? 1 : 0);
  trainer.integer(41, id_of("bos_token_id"));
  trainer.integer(42, id_of("eos_token_id"));
  WireWriter normalizer;
  if (const std::string charsmap = charsmap_of(vocabulary); !charsmap.empty()) {
    normalizer.bytes(2, charsmap);
  }
  normalizer.integer(3, vocabulary.flag("add_space_prefix", true) ? 1 : 0);
  normalizer.integer(4, vocabulary.flag("remove_extra_whitespaces", false) ? 1 : 0);
  file.bytes(2, trainer.text());
  file.bytes(3, normalizer.text());
  Json line = {{"added_tokens", added}, {"add_eos_token", vocabulary.flag("add_eos_token", false)}};
  const auto bos = vocabulary.id("bos_token_id");
  line["add_bos_token"] = bos && vocabulary.flag("add_bos_token", true);
  if (bos) line["bos_token"] = vocabulary.token(*bos);
  if (const auto eos = vocabulary.id("eos_token_id")) line["eos_token"] = vocabulary.token(*eos);
  try {
    return line.dump() + "\n" + file.text();
  } catch (const Json::exception&) {
    vocabulary.fail("tokens", "holds a text that is not UTF-8");
  }
}

}  // namespace

FoundTokenizer gguf_tokenizer(const GgufFile& file) {
  const auto found = file.metadata.find("tokenizer.ggml.model");
  if (found == file.metadata.end() || *found == "none" || *found == "no_vocab") return {};
  FoundTokenizer tokenizer{.kind = "", .bytes = "", .where = file.path};
  const Vocabulary vocabulary(file);
  if (*found == "gpt2") {
    tokenizer.kind = std::string(kHuggingFaceTokenizer);
    tokenizer.bytes = byte_level_bpe(vocabulary, file.path);
  } else if (*found == "llama" || *found == "t5") {
    tokenizer.kind = std::string(kSentencePieceBundle);
    tokenizer.bytes = sentencepiece(vocabulary, *found == "t5");
  } else {
    vocabulary.fail(
        "model",
        fmt::format("is {}, which is unsupported; gridmill reads gpt2, llama and t5; give another "
                    "file with --tokenizer",
                    found->dump(-1, ' ', true, Json::error_handler_t::replace)));
  }
  return tokenizer;
}

Json gguf_special_tokens(const GgufFile& file) {
  Json result = Json::object();
  if (!file.metadata.contains("tokenizer.ggml.tokens")) return result;
  const Vocabulary vocabulary(file);
  constexpr std::array<std::pair<const char*, const char*>, 4> kNames = {{
      {"bos_token", "bos_token_id"},
      {"eos_token", "eos_token_id"},
      {"unk_token", "unknown_token_id"},
      {"pad_token", "padding_token_id"},
  }};
  for (const auto& [name, key] : kNames) {
    if (const auto id = vocabulary.id(key)) result[name] = vocabulary.token(*id);
  }
  return result;
}

}  // namespace gridmill::convert_detail
