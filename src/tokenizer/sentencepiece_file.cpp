#include <algorithm>
#include <cctype>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/parts_detail.hpp"
#include "tokenizer/sentencepiece_bpe_detail.hpp"
#include "tokenizer/sentencepiece_unigram.hpp"
#include "tokenizer/utf8_detail.hpp"
#include "tokenizer/wire_format_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

// Fields and defaults of sentencepiece_model.proto.
enum PieceType : std::int64_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

// Values of `model_type`.
constexpr std::int64_t kUnigram = 1;
constexpr std::int64_t kBpe = 2;

struct Piece {
  std::string_view text;
  float score = 0.0F;
  std::int64_t type = normal;
};

struct SentencePieceFile {
  std::vector<Piece> pieces;
  std::int64_t model_type = kUnigram;
  bool byte_fallback = false;
  bool space_behind_words = false;
  std::int64_t bos_id = 1;
  std::int64_t eos_id = 2;
  bool dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  std::string_view charsmap;
};

Piece read_piece(std::string_view message, const std::string& where) {
  Piece piece;
  WireReader reader(message, where + ": piece");
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == 1) piece.text = reader.bytes(*field);
    if (field->number == 2) piece.score = reader.real(*field);
    if (field->number == 3) piece.type = reader.integer(*field);
  }
  return piece;
}

void read_trainer_spec(std::string_view message, SentencePieceFile& file,
                       const std::string& where) {
  WireReader reader(message, where + ": trainer_spec");
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == 3) file.model_type = reader.integer(*field);
    if (field->number == 24) file.space_behind_words = reader.flag(*field);
    if (field->number == 35) file.byte_fallback = reader.flag(*field);
    if (field->number == 41) file.bos_id = reader.integer(*field);
    if (field->number == 42) file.eos_id = reader.integer(*field);
  }
}

void read_normalizer_spec(std::string_view message, SentencePieceFile& file,
                          const std::string& where) {
  WireReader reader(message, where + ": normalizer_spec");
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == 2) file.charsmap = reader.bytes(*field);
    if (field->number == 3) file.dummy_prefix = reader.flag(*field);
    if (field->number == 4) file.remove_extra_whitespaces = reader.flag(*field);
    if (field->number == 5) file.escape_whitespaces = reader.flag(*field);
  }
}

void refuse_denormalizer(std::string_view message, const std::string& where) {
  WireReader reader(message, where + ": denormalizer_spec");
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == 2 && !reader.bytes(*field).empty()) {
      throw FormatError(where + ": denormalizer_spec with a precompiled_charsmap is unsupported");
    }
  }
}

SentencePieceFile read_file(std::string_view bytes, const std::string& where) {
  SentencePieceFile file;
  WireReader reader(bytes, where);
  bool has_trainer_spec = false;
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == 1) file.pieces.push_back(read_piece(reader.bytes(*field), where));
    if (field->number == 2) {
      has_trainer_spec = true;
      read_trainer_spec(reader.bytes(*field), file, where);
    }
    if (field->number == 3) read_normalizer_spec(reader.bytes(*field), file, where);
    if (field->number == 5) refuse_denormalizer(reader.bytes(*field), where);
    if (file.pieces.size() > kMostTokens) {
      throw FormatError(fmt::format("{}: more than {} pieces", where, kMostTokens));
    }
  }
  if (file.pieces.empty()) throw FormatError(where + ": no pieces; is this a SentencePiece model?");
  if (!has_trainer_spec) throw FormatError(where + ": no trainer_spec; is the file cut short?");
  if (file.model_type != kUnigram && file.model_type != kBpe) {
    throw FormatError(
        fmt::format("{}: a SentencePiece model of type {} is unsupported; gridmill reads unigram "
                    "(1) and BPE (2); 3 is word, 4 char",
                    where, file.model_type));
  }
  if (file.space_behind_words) {
    throw FormatError(where + ": treat_whitespace_as_suffix is unsupported");
  }
  return file;
}

SentencePieceText text_rules_of(const SentencePieceFile& file, const std::string& where) {
  SentencePieceText rules{.space = file.escape_whitespaces ? kEscapedSpace : kPlainSpace,
                          .dummy_prefix = file.dummy_prefix,
                          .remove_extra_whitespaces = file.remove_extra_whitespaces};
  if (!file.charsmap.empty()) {
    rules.charsmap = std::make_shared<const Charsmap>(
        file.charsmap, where + ": normalizer_spec: precompiled_charsmap");
  }
  return rules;
}

// Sorts the pieces by their type into the encoder and the table of tokens.
template <typename Encoder>
class PieceLoader {
 public:
  PieceLoader(const SentencePieceFile& file, std::string where)
      : file_(file),
        space_(file.escape_whitespaces ? kEscapedSpace : kPlainSpace),
        where_(std::move(where)),
        encoder_(std::make_unique<Encoder>(text_rules_of(file, where_), where_)) {
    bytes_.fill(kNoToken);
  }

  TokenizerParts run() {
    for (const Piece& piece : file_.pieces) add(piece);
    if (!has_unknown_) throw FormatError(where_ + ": no piece of the type `unknown`");
    if (file_.byte_fallback) use_byte_tokens();
    parts_.rules.byte_runs = true;
    if (file_.dummy_prefix) {
      parts_.rules.strip_front.assign(1, ' ');
      parts_.rules.strip_count = 1;
    }
    parts_.bos = control_piece(file_.bos_id);
    parts_.eos = control_piece(file_.eos_id);
    if (parts_.bos) parts_.prefix = {*parts_.bos};
    encoder_->finish();
    parts_.encoder = std::move(encoder_);
    return std::move(parts_);
  }

 private:
  const SentencePieceFile& file_;
  std::string_view space_;
  std::string where_;
  std::unique_ptr<Encoder> encoder_;
  TokenizerParts parts_;
  ByteTokens bytes_{};
  bool has_unknown_ = false;
  TextMap<TokenId> seen_;

  [[nodiscard]] std::optional<TokenId> control_piece(std::int64_t id) const {
    const bool is_piece = id >= 0 && id < static_cast<std::int64_t>(file_.pieces.size());
    if (!is_piece || file_.pieces[static_cast<std::size_t>(id)].type != control) {
      return std::nullopt;
    }
    return static_cast<TokenId>(id);
  }

  void add(const Piece& piece) {
    const auto id = static_cast<TokenId>(parts_.tokens.size());
    const std::string place = fmt::format("{}: piece {}", where_, id);
    if (piece.text.empty() || !is_well_formed_utf8(piece.text)) {
      throw FormatError(place + " is empty or not UTF-8");
    }
    if (!seen_.try_emplace(std::string(piece.text), id).second) {
      throw FormatError(place + " has the text of an earlier one");
    }
    DecodedToken token;
    token.bytes = with_plain_spaces(piece.text);
    token.is_taken = true;
    switch (piece.type) {
      case normal:
        encoder_->add_piece(piece.text, id, piece.score);
        break;
      case user_defined:
        encoder_->add_user_defined(piece.text, id);
        break;
      case unknown:
        if (has_unknown_) throw FormatError(place + " is a second unknown token");
        has_unknown_ = true;
        encoder_->set_unknown(id);
        token.is_special = true;
        break;
      case control:
        token.is_special = true;
        break;
      case byte:
        add_byte(piece, id, token, place);
        break;
      case unused:  // never on the best path; BPE would have to take such pieces apart again
        if (file_.model_type == kUnigram) break;
        [[fallthrough]];
      default:
        throw FormatError(fmt::format("{} has type {}, which is unsupported", place, piece.type));
    }
    parts_.tokens.push_back(std::move(token));
  }

  void add_byte(const Piece& piece, TokenId id, DecodedToken& token, const std::string& place) {
    const std::optional<char> value = byte_of_token_name(piece.text);
    if (!value) throw FormatError(place + " is a byte, but its name is not <0x00> to <0xFF>");
    token.bytes = std::string(1, *value);
    token.is_byte = true;
    bytes_[static_cast<std::uint8_t>(*value)] = id;
  }

  void use_byte_tokens() {
    for (unsigned value = 0; value < 256; ++value) {
      if (bytes_[value] == kNoToken) {
        throw FormatError(
            fmt::format("{}: byte_fallback without a piece {}", where_, byte_token_name(value)));
      }
    }
    encoder_->set_byte_tokens(bytes_);
  }

  [[nodiscard]] std::string with_plain_spaces(std::string_view text) const {
    std::string result;
    for (std::size_t i = 0; i < text.size();) {
      const bool is_space = text.substr(i).starts_with(space_);
      result += is_space ? ' ' : text[i];
      i += is_space ? space_.size() : 1;
    }
    return result;
  }
};

/// Whether the first line is base64, a space and a number.
bool is_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, std::min<std::size_t>(bytes.find('\n'), 4096));
  const std::size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos || space + 1 >= line.size()) return false;
  const auto is_base64 = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '+' || c == '/' || c == '=';
  };
  const auto is_digit = [](unsigned char c) { return std::isdigit(c) != 0 || c == '\r'; };
  return std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(space), is_base64) &&
         std::all_of(line.begin() + static_cast<std::ptrdiff_t>(space) + 1, line.end(), is_digit);
}

}  // namespace

TokenizerParts read_sentencepiece(std::string_view bytes, const std::string& where) {
  if (is_tiktoken(bytes)) {
    throw FormatError(where +
                      " is a tiktoken file (lines of base64 and rank), which is unsupported: it "
                      "lacks the splitting pattern and the special tokens; use the model's "
                      "tokenizer.json");
  }
  const SentencePieceFile file = read_file(bytes, where);
  if (file.model_type == kUnigram) return PieceLoader<SentencePieceUnigram>(file, where).run();
  return PieceLoader<SentencePieceBpe>(file, where).run();
}

}  // namespace gridmill::tokenizer_detail
