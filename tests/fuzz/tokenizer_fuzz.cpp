// LIBS: tokenizer
//
// Any bytes as a tokenizer file and any bytes as a text: the answer is ids or an Error, never a
// crash, and decoding gives the same text at once and step by step.
//
// Input: one byte for the kind of file (j, m, s or b), the file, "\n%%\n", the text. Mutations keep
// to the kind: JSON, a message of protocol buffers, a line of JSON and a message, numbers and
// texts.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/json_mutator.hpp"
#include "fuzz/mutator.hpp"
#include "fuzz/protobuf_mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/tokenizer/decode_stream.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace {

using gridmill::TokenId;
using gridmill::fuzz::change_bytes;
using gridmill::fuzz::Dice;
using gridmill::fuzz::mutated_message;
using gridmill::fuzz::one_of;

void require(bool condition) {
  if (!condition) std::abort();
}

std::string_view kind_of(char letter) {
  switch (letter) {
    case 'm':
      return gridmill::kSentencePieceTokenizer;
    case 's':
      return gridmill::kSentencePieceBundle;
    case 'b':
      return gridmill::kLlama2cTokenizer;
    default:
      return gridmill::kHuggingFaceTokenizer;
  }
}

void check(const gridmill::Tokenizer& tokenizer, std::string_view text) {
  const std::vector<TokenId> ids = tokenizer.encode(text, true);
  require(tokenizer.fewest_tokens(text) <= tokenizer.encode(text, false).size());
  for (const TokenId id : ids) require(id >= 0 && id < tokenizer.vocab_size());
  for (const bool skip_special : {false, true}) {
    gridmill::DecodeStream stream(tokenizer, skip_special);
    std::string streamed;
    for (const TokenId id : ids) streamed += stream.push(id);
    streamed += stream.finish();
    require(streamed == tokenizer.decode(ids, skip_special));
    static_cast<void>(tokenizer.decode_bytes(ids, skip_special));
  }
}

constexpr std::string_view kSeparator = "\n%%\n";

/// A llama2.c file with another number in one of its fields: the longest token, then of each token
/// its score, its length and its bytes.
std::string mutated_llama2c(std::string file, const Dice& dice) {
  static constexpr std::array<std::uint32_t, 7> kNumbers = {
      0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000, 0x7FC00000};
  std::vector<std::size_t> fields = {0};
  for (std::size_t at = 4; at + 8 <= file.size();) {
    std::uint32_t length = 0;
    std::memcpy(&length, file.data() + at + 4, sizeof length);
    fields.insert(fields.end(), {at, at + 4});
    if (length > file.size()) break;
    at += 8 + length;
  }
  const std::size_t field = one_of(fields, dice);
  if (field + 4 > file.size()) return file;
  std::uint32_t number = 0;
  std::memcpy(&number, file.data() + field, sizeof number);
  number = dice(2) == 0 ? number + static_cast<std::uint32_t>(dice(5)) - 2 : one_of(kNumbers, dice);
  std::memcpy(file.data() + field, &number, sizeof number);
  return file;
}

/// One change of the file by what its kind is made of, or of the text that is encoded.
std::string mutated_input(const std::string& input, const Dice& dice) {
  const std::size_t end = std::min(input.find(kSeparator), input.size());
  std::string file = input.substr(1, end - 1);
  std::string text = input.substr(end);
  const auto seed = static_cast<std::uint32_t>(dice(1U << 31));
  const std::size_t line = file.find('\n');
  if (dice(6) == 0) {
    change_bytes(text, dice);
  } else if (input[0] == 'm') {
    file = mutated_message(file, dice);
  } else if (input[0] == 'b') {
    file = mutated_llama2c(file, dice);
  } else if (input[0] == 's' && line != std::string::npos) {
    const bool settings = dice(2) == 0;
    std::string first = file.substr(0, line);
    std::string rest = file.substr(line + 1);
    first = settings ? gridmill::fuzz::mutated_json(first, seed) : first;
    file = first + "\n" + (settings ? rest : mutated_message(rest, dice));
  } else {
    file = gridmill::fuzz::mutated_json(file, seed);
  }
  return input[0] + file + text;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  if (size == 0) return size;
  const Dice dice = gridmill::fuzz::dice_of(seed);
  std::string input = gridmill::fuzz::text_of(data, size);
  for (std::size_t changes = 1 + dice(3); changes > 0; --changes) {
    input = mutated_input(input, dice);
  }
  return gridmill::fuzz::hand_over(input, data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kLongestText = 2048;  // hostile patterns may take long on longer ones
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find(kSeparator), input.size());
  const std::size_t text_begin = std::min(end + kSeparator.size(), input.size());
  try {
    const auto tokenizer =
        gridmill::make_tokenizer(kind_of(input[0]), input.substr(1, end - 1), 0, "fuzz");
    check(*tokenizer, input.substr(text_begin, kLongestText));
  } catch (const gridmill::Error& error) {
    require(error.code() != gridmill::ExitCode::internal);
  }
  return 0;
}
