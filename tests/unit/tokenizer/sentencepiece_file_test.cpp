#include <gtest/gtest.h>

#include <bit>
#include <cstdint>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {
namespace {

using Ids = std::vector<TokenId>;

std::string number_field(int number, std::uint8_t value) {
  std::string field;
  const unsigned tag = static_cast<unsigned>(number) << 3;
  if (tag >= 0x80) {
    field.push_back(static_cast<char>(0x80 | (tag & 0x7F)));
    field.push_back(static_cast<char>(tag >> 7));
  } else {
    field.push_back(static_cast<char>(tag));
  }
  field.push_back(static_cast<char>(value));
  return field;
}

std::string bytes_field(int number, const std::string& bytes) {
  std::string field(1, static_cast<char>((number << 3) | 2));
  field.push_back(static_cast<char>(bytes.size()));  // below 128 in these tests
  return field + bytes;
}

std::string piece(const std::string& text, float score, int type) {
  std::string message = bytes_field(1, text);
  message.push_back(0x15);
  const auto bits = std::bit_cast<std::uint32_t>(score);
  for (int i = 0; i < 4; ++i) message.push_back(static_cast<char>(bits >> (8 * i)));
  return bytes_field(1, message + number_field(3, static_cast<std::uint8_t>(type)));
}

constexpr int kModelType = 3;  // field of trainer_spec; 2 = BPE
const std::string kBpe = bytes_field(2, number_field(kModelType, 2));
const std::string kKeepSpaces = bytes_field(3, number_field(4, 0));
const std::string kPieces = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) +
                            piece("\u2581a", -1, 1) + piece("\u2581", -2, 1) + piece("a", -3, 1) +
                            piece("<tool>", 0, 4);

std::unique_ptr<Tokenizer> tokenizer_of(const std::string& bytes) {
  return make_tokenizer(kSentencePieceTokenizer, bytes, 0, "test.model");
}

void expect_unsupported(const std::string& bytes, const std::string& what) {
  try {
    tokenizer_of(bytes);
    ADD_FAILURE() << what << " was accepted";
  } catch (const FormatError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("unsupported"), std::string::npos) << message;
    EXPECT_NE(message.find(what), std::string::npos) << message;
  }
}

TEST(SentencePieceFile, ReadsPiecesScoresAndTypes) {
  const auto tokenizer = tokenizer_of(kPieces + kBpe + kKeepSpaces);
  EXPECT_EQ(tokenizer->vocab_size(), 7);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->encode("a a<tool>x<s>", true), (Ids{1, 3, 3, 6, 0}));
  EXPECT_EQ(tokenizer->decode(Ids{1, 3, 3, 6, 4}, true), "a a<tool> ");
  EXPECT_TRUE(tokenizer->is_special(0) && tokenizer->is_special(1) && !tokenizer->is_special(6));
}

TEST(SentencePieceFile, TheSettingsOfTheNormalizerHold) {
  const auto no_prefix =
      tokenizer_of(kPieces + kBpe + bytes_field(3, number_field(3, 0) + number_field(4, 0)));
  EXPECT_EQ(no_prefix->encode("a", false), (Ids{5}));
  EXPECT_EQ(no_prefix->decode(Ids{3}, false), " a");
  const auto removes_spaces = tokenizer_of(kPieces + kBpe);  // the default of the format
  EXPECT_EQ(removes_spaces->encode("  a   a ", false), (Ids{3, 3}));
}

TEST(SentencePieceFile, WithoutABeginPieceNoneIsAdded) {
  const auto tokenizer = tokenizer_of(piece("<unk>", 0, 2) + piece("a", 0, 1) + kBpe + kKeepSpaces);
  EXPECT_EQ(tokenizer->bos(), std::nullopt);
  EXPECT_EQ(tokenizer->encode("a", true), (Ids{0, 1}));
}

TEST(SentencePieceFile, NamesWhatIsUnsupported) {
  expect_unsupported(kPieces + bytes_field(2, number_field(kModelType, 4)), "type 4");
  expect_unsupported(kPieces + kBpe + bytes_field(5, bytes_field(2, "map")),
                     "precompiled_charsmap");
  expect_unsupported(kPieces + bytes_field(2, number_field(kModelType, 2) + number_field(24, 1)),
                     "treat_whitespace_as_suffix");
  expect_unsupported(kPieces + piece("b", 0, 5) + kBpe, "type 5");
}

TEST(SentencePieceFile, AUnigramModelTakesTheBestPath) {
  const std::string unigram = bytes_field(2, number_field(kModelType, 1));
  const auto tokenizer = tokenizer_of(kPieces + unigram + kKeepSpaces);
  EXPECT_EQ(tokenizer->encode("aa<tool>xx a", false), (Ids{3, 5, 6, 0, 3}));
  const auto unused = tokenizer_of(kPieces + piece("aa", 0, 5) + unigram + kKeepSpaces);
  EXPECT_EQ(unused->encode("aa", false), (Ids{3, 5})) << "an unused piece is on no path";
  const auto byte_model = tokenizer_of(kPieces + bytes_field(2, "") + kKeepSpaces);
  EXPECT_EQ(byte_model->encode("a", false), (Ids{3})) << "unigram is the default of the format";
}

TEST(SentencePieceFile, RefusesADamagedCharsmap) {
  for (const std::string& map :
       {std::string("map"), std::string("\4\0\0\0", 4), std::string("\3\0\0\0abc", 7),
        std::string("\0\0\0\0abc", 7), std::string("\4\0\0\0abcd\xFF", 9)}) {
    EXPECT_THROW(tokenizer_of(kPieces + kBpe + bytes_field(3, bytes_field(2, map))), FormatError);
  }
}

TEST(SentencePieceFile, RefusesBadPieces) {
  EXPECT_THROW(tokenizer_of(kPieces), FormatError) << "no trainer_spec: cut short";
  EXPECT_THROW(tokenizer_of(kBpe), FormatError);
  EXPECT_THROW(tokenizer_of(kPieces + piece("a", 0, 1) + kBpe), FormatError);
  EXPECT_THROW(tokenizer_of(kPieces + piece("", 0, 1) + kBpe), FormatError);
  EXPECT_THROW(tokenizer_of(kPieces + piece("\xFF", 0, 1) + kBpe), FormatError);
  EXPECT_THROW(tokenizer_of(kPieces + piece("<0xGG>", 0, 6) + kBpe), FormatError);
  EXPECT_THROW(tokenizer_of(kPieces + piece("<unk2>", 0, 2) + kBpe), FormatError);
  EXPECT_THROW(tokenizer_of(piece("a", 0, 1) + kBpe), FormatError);
  EXPECT_THROW(
      tokenizer_of(kPieces + bytes_field(2, number_field(kModelType, 2) + number_field(35, 1))),
      FormatError);  // byte_fallback without byte pieces
}

TEST(SentencePieceFile, EveryCutOfARealFileIsRefusedOrWhole) {
  const std::string whole =
      read_text_file(GRIDMILL_TEST_DATA "/tokenizer/stories260K-hf/tokenizer.model");
  EXPECT_EQ(tokenizer_of(whole)->vocab_size(), 512);
  // The last 48 bytes are the two settings messages; without the first no cut is a BPE model.
  for (std::size_t size = 0; size + 48 < whole.size(); size += 7) {
    EXPECT_THROW(tokenizer_of(whole.substr(0, size)), FormatError) << size;
  }
}

}  // namespace
}  // namespace gridmill
