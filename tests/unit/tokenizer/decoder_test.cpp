#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "tokenizer/decoder_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

TokenDecoder decoder_of(const std::string& json) {
  return {parse_json(json, "test"), "test: decoder"};
}

std::string sequence(const std::string& decoders) {
  return R"({"type": "Sequence", "decoders": [)" + decoders + "]}";
}

const std::string kReplace = R"({"type": "Replace", "pattern": {"String": "_"}, "content": " "})";
const std::string kMetaspace = R"({"type": "Metaspace", "replacement": "_"})";
const std::string kBytes = R"({"type": "ByteFallback"})";
const std::string kFuse = R"({"type": "Fuse"})";
const std::string kStrip = R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})";

TEST(TokenDecoder, ByteLevelSpellsBytesAndKeepsOtherText) {
  const TokenDecoder decoder = decoder_of(R"({"type": "ByteLevel"})");
  EXPECT_EQ(decoder.decode_token("\u0120a\u00C3").bytes, " a\xC3");
  EXPECT_EQ(decoder.decode_token("a b").bytes, "a b");
  EXPECT_EQ(decoder.decode_added_token("\u00C3").bytes, "\u00C3");
}

TEST(TokenDecoder, TheSentencePieceStyleReplacesAndKnowsBytes) {
  const TokenDecoder decoder =
      decoder_of(sequence(kReplace + "," + kBytes + "," + kFuse + "," + kStrip));
  EXPECT_EQ(decoder.decode_token("_a_").bytes, " a ");
  EXPECT_EQ(decoder.decode_token("<0x0A>").bytes, "\n");
  EXPECT_TRUE(decoder.decode_token("<0xfF>").is_byte);
  EXPECT_FALSE(decoder.decode_token("<0x0G>").is_byte);
  EXPECT_EQ(decoder.rules().strip_count, 1U);
  EXPECT_TRUE(decoder.rules().byte_runs);
}

TEST(TokenDecoder, MetaspaceDropsMarksOfTheFirstToken) {
  const DecodedToken token = decoder_of(kMetaspace).decode_token("_a_b");
  EXPECT_EQ(token.bytes, " a b");
  EXPECT_EQ(token.bytes_at_start, "ab");
  EXPECT_EQ(decoder_of(kMetaspace).decode_token("a b").bytes_at_start, std::nullopt);
  const std::string never =
      R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"})";
  EXPECT_EQ(decoder_of(never).decode_token("_a").bytes_at_start, std::nullopt);
}

TEST(TokenDecoder, WithoutByteFallbackByteNamesAreText) {
  const TokenDecoder decoder = decoder_of(sequence(kReplace + "," + kFuse));
  EXPECT_EQ(decoder.decode_token("<0x0A>").bytes, "<0x0A>");
}

TEST(TokenDecoder, NamesWhatIsUnsupported) {
  const std::string byte_level = R"({"type": "ByteLevel"})";
  for (const std::string& json :
       {std::string("null"), std::string(R"({"type": "WordPiece"})"), sequence(kStrip),
        sequence(kBytes + "," + kMetaspace), sequence(kBytes + "," + kReplace),
        sequence(kFuse + "," + kBytes), sequence(byte_level + "," + kFuse),
        sequence(kFuse + "," + byte_level),
        sequence(R"({"type": "Replace", "pattern": {"Regex": "a"}, "content": ""})"),
        sequence(kFuse + R"(, {"type": "Strip", "content": " ", "start": 0, "stop": 1})")}) {
    try {
      decoder_of(json);
      ADD_FAILURE() << json << " was accepted";
    } catch (const FormatError& error) {
      EXPECT_NE(std::string(error.what()).find("unsupported"), std::string::npos) << error.what();
    }
  }
}

TEST(TokenDecoder, RefusesWrongFields) {
  for (const std::string& json :
       {std::string("[]"), std::string("{}"), std::string(R"({"type": "Sequence"})"),
        sequence(R"({"type": "Replace", "content": ""})"),
        sequence(R"({"type": "Replace", "pattern": {"String": ""}, "content": ""})"),
        sequence(kFuse + R"(, {"type": "Strip", "content": "ab", "start": 1})"),
        sequence(kFuse + R"(, {"type": "Strip", "content": "", "start": 1})"),
        sequence(kFuse + R"(, {"type": "Strip", "content": " ", "start": -1})")}) {
    EXPECT_THROW(decoder_of(json), FormatError) << json;
  }
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
