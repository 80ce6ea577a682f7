#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/parts_detail.hpp"
#include "tokenizer/sentencepiece_bpe_detail.hpp"
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

struct Piece {
  std::string_view text;
  float score = 0.0F;
  std::int64_t type = normal;
};

struct SentencePieceFile {
  std::vector<Piece> pieces;
  std::int64_t model_type = 1;
  bool byte_fallback = false;
  bool space_behind_words = false;
  std::int64_t bos_id = 1;
  bool dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
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
  }
}

void read_normalizer_spec(std::string_view message, SentencePieceFile& file,
                          const std::string& where) {
  WireReader reader(message, where + ": normalizer_spec");
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == 2 && !reader.bytes(*field).empty()) {
      throw FormatError(where +
                        ": normalizer_spec with a precompiled_charsmap is unsupported; "
                        "gridmill reads the normalizer `identity`, else use the model's "
                        "tokenizer.json");
    }
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
  while (const std::optional<WireField> field = reader.next()) {
    if (field->number == 1) file.pieces.push_back(read_piece(reader.bytes(*field), where));
    if (field->number == 2) read_trainer_spec(reader.bytes(*field), file, where);
    if (field->number == 3) read_normalizer_spec(reader.bytes(*field), file, where);
    if (field->number == 5) refuse_denormalizer(reader.bytes(*field), where);
    if (file.pieces.size() > kMostTokens) {
      throw FormatError(fmt::format("{}: more than {} pieces", where, kMostTokens));
    }
  }
  if (file.pieces.empty()) throw FormatError(where + ": no pieces; is this a SentencePiece model?");
  if (file.model_type != 2) {
    throw FormatError(
        fmt::format("{}: a SentencePiece model of type {} is unsupported; gridmill "
                    "reads BPE (type 2; 1 is unigram, 3 word, 4 char)",
                    where, file.model_type));
  }
  if (file.space_behind_words) {
    throw FormatError(where + ": treat_whitespace_as_suffix is unsupported");
  }
  return file;
}

// Sorts the pieces by their type into the encoder and the table of tokens.
class PieceLoader {
 public:
  PieceLoader(const SentencePieceFile& file, std::string where)
      : file_(file),
        space_(file.escape_whitespaces ? kEscapedSpace : kPlainSpace),
        where_(std::move(where)),
        encoder_(std::make_unique<SentencePieceBpe>(
            SentencePieceText{space_, file.dummy_prefix, file.remove_extra_whitespaces}, where_)) {
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
    const bool has_bos = file_.bos_id >= 0 &&
                         file_.bos_id < static_cast<std::int64_t>(file_.pieces.size()) &&
                         file_.pieces[static_cast<std::size_t>(file_.bos_id)].type == control;
    if (has_bos) {
      parts_.bos = static_cast<TokenId>(file_.bos_id);
      parts_.prefix = {*parts_.bos};
    }
    parts_.encoder = std::move(encoder_);
    return std::move(parts_);
  }

 private:
  const SentencePieceFile& file_;
  std::string_view space_;
  std::string where_;
  std::unique_ptr<SentencePieceBpe> encoder_;
  TokenizerParts parts_;
  ByteTokens bytes_{};
  bool has_unknown_ = false;
  TextMap<TokenId> seen_;

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

}  // namespace

TokenizerParts read_sentencepiece(std::string_view bytes, const std::string& where) {
  const SentencePieceFile file = read_file(bytes, where);
  return PieceLoader(file, where).run();
}

}  // namespace gridmill::tokenizer_detail
