// LIBS: tokenizer
//
// Any bytes as a tokenizer file and any bytes as a text: the answer is ids or an Error, never a
// crash, and decoding gives the same text at once and step by step.
//
// Input: one byte for the kind of file (j, m, s or b), the file, "\n%%\n", the text. A file of kind
// j is mutated as JSON; that of s begins with a line of JSON.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/json_mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/tokenizer/decode_stream.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace {

using gridmill::TokenId;

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

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  if (input.empty() || (input[0] != 'j' && input[0] != 's')) return size;
  const std::size_t end = std::min(input.find(input[0] == 'j' ? kSeparator : "\n"), input.size());
  const std::string changed =
      input[0] + gridmill::fuzz::mutated_json(input.substr(1, end - 1), seed) + input.substr(end);
  if (changed.size() > max_size) return size;
  std::copy(changed.begin(), changed.end(), data);
  return changed.size();
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
