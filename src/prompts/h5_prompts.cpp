#include <algorithm>
#include <limits>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/h5/examination.hpp"
#include "gridmill/h5/file.hpp"
#include "sources_detail.hpp"

namespace gridmill::detail {

namespace {

constexpr const char* kTokens = "/prefix_tokens";
constexpr const char* kMask = "/prefix_mask";

std::string shown(const std::vector<std::uint64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

bool is_integer(h5::Kind kind) { return kind >= h5::Kind::i8 && kind <= h5::Kind::boolean; }

void require_integers(const h5::Dataset& dataset, const char* expected) {
  if (!is_integer(dataset.type().kind)) {
    throw FormatError(fmt::format("{} holds {}, expected {}", dataset.where(),
                                  h5::name_of(dataset.type()), expected));
  }
}

h5::Dataset open_tokens(const h5::File& file) {
  if (!file.exists(kTokens)) {
    throw FormatError(
        fmt::format("{} has no dataset prefix_tokens; prompts in .h5 are token ids, int32 [N, T]",
                    file.path()));
  }
  h5::Dataset tokens = file.dataset(kTokens);
  require_integers(tokens, "int32 token ids");
  if (tokens.shape().empty() || tokens.shape().size() > 2) {
    throw FormatError(
        fmt::format("{} is {}, expected [N, T] or [N]", tokens.where(), shown(tokens.shape())));
  }
  return tokens;
}

std::optional<h5::Dataset> open_mask(const h5::File& file, const h5::Dataset& tokens) {
  if (!file.exists(kMask)) return std::nullopt;
  h5::Dataset mask = file.dataset(kMask);
  require_integers(mask, "uint8 or bool");
  // [N] and [N, 1] mean the same.
  if (mask.shape().empty() || mask.shape().size() > 2 || mask.shape()[0] != tokens.shape()[0] ||
      mask.row_elements() != tokens.row_elements()) {
    throw FormatError(fmt::format("{} is {}, expected the shape of prefix_tokens, {}", mask.where(),
                                  shown(mask.shape()), shown(tokens.shape())));
  }
  return mask;
}

std::vector<std::uint8_t> read_mask(const h5::Dataset& mask, std::uint64_t first,
                                    std::uint64_t count) {
  const std::vector<std::int64_t> stored = mask.read_rows_as<std::int64_t>(first, count);
  std::vector<std::uint8_t> given(stored.size());
  std::transform(stored.begin(), stored.end(), given.begin(),
                 [](std::int64_t value) { return static_cast<std::uint8_t>(value != 0); });
  return given;
}

bool is_token_id(std::int64_t value) {
  return value >= std::numeric_limits<TokenId>::min() &&
         value <= std::numeric_limits<TokenId>::max();
}

}  // namespace

std::optional<std::uint64_t> count_result_rows(const std::string& path) {
  h5::examine(path);
  const h5::File file = h5::File::open(path);
  if (!file.has_attribute("/", "format") ||
      file.read_text_attribute("/", "format") != "gridmill-results") {
    return std::nullopt;
  }
  const h5::Dataset rows = file.dataset("/rows");
  if (rows.shape().size() != 1) {
    throw FormatError(fmt::format("{} is {}, expected [N]", rows.where(), shown(rows.shape())));
  }
  return rows.shape()[0];
}

std::uint64_t count_h5_prompts(const std::string& path) {
  const h5::File file = h5::File::open(path);
  const h5::Dataset tokens = open_tokens(file);
  static_cast<void>(open_mask(file, tokens));
  return tokens.shape()[0];
}

H5Prompts::H5Prompts(const std::string& path, PromptIndex index)
    : PromptSource(path, std::move(index)),
      tokens_([&] { return open_tokens(h5::File::open(path)); }()),
      mask_(open_mask(h5::File::open(path), tokens_)) {}

PrefixMatrix H5Prompts::prefix_rows(std::uint64_t first, std::uint64_t count) const {
  PrefixMatrix matrix;
  matrix.rows = count;
  matrix.columns = tokens_.row_elements();
  const std::vector<std::int64_t> stored = tokens_.read_rows_as<std::int64_t>(first, count);
  const auto bad = std::find_if_not(stored.begin(), stored.end(), is_token_id);
  if (bad != stored.end()) {
    const auto at = static_cast<std::uint64_t>(bad - stored.begin());
    throw FormatError(fmt::format("{}: {} at [{}, {}] is no token id", tokens_.where(), *bad,
                                  first + at / matrix.columns, at % matrix.columns));
  }
  matrix.tokens.assign(stored.size(), 0);
  std::transform(stored.begin(), stored.end(), matrix.tokens.begin(),
                 [](std::int64_t value) { return static_cast<TokenId>(value); });
  matrix.given = mask_ ? read_mask(*mask_, first, count)
                       : std::vector<std::uint8_t>(stored.size(), std::uint8_t{1});
  return matrix;
}

Prompt H5Prompts::read_checked(PromptId prompt) const {
  const std::vector<std::int64_t> stored = tokens_.read_rows_as<std::int64_t>(prompt, 1);
  std::size_t length = stored.size();
  if (mask_) {
    const std::vector<std::uint8_t> given = read_mask(*mask_, prompt, 1);
    const auto end = std::find(given.begin(), given.end(), std::uint8_t{0});
    if (std::find(end, given.end(), std::uint8_t{1}) != given.end()) {
      return BadPrompt{
          fmt::format("prefix_mask of prompt {} has holes: expected ones, then zeros "
                      "(whole batches with --lockstep take holes)",
                      prompt)};
    }
    length = static_cast<std::size_t>(end - given.begin());
  }
  std::vector<TokenId> tokens;
  tokens.reserve(length);
  for (std::size_t t = 0; t < length; ++t) {
    if (!is_token_id(stored[t])) {
      return BadPrompt{
          fmt::format("{} in prefix_tokens of prompt {} is no token id", stored[t], prompt)};
    }
    tokens.push_back(static_cast<TokenId>(stored[t]));
  }
  return tokens;
}

}  // namespace gridmill::detail
