#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/byte_level_detail.hpp"
#include "tokenizer/decoder_detail.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/text_encoder_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

constexpr std::size_t kMostReplacements = 16;  // real files have one

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string result;
  while (true) {
    const std::size_t found = text.find(pattern);
    if (found == std::string_view::npos) return result.append(text);
    result.append(text.substr(0, found)).append(content);
    text.remove_prefix(found + pattern.size());
  }
}

}  // namespace

TokenDecoder::TokenDecoder(const Json& component, const std::string& where) : where_(where) {
  if (component.is_null()) {
    throw FormatError(where + ": a tokenizer without a decoder is unsupported");
  }
  add(component);
}

void TokenDecoder::add(const Json& component) {
  const std::string& type = type_of(component, where_);
  const std::string place = where_ + " " + type;
  const auto refuse_order = [&place] {
    throw FormatError(place +
                      " in this order is unsupported; gridmill reads ByteLevel alone, or "
                      "Replace, Metaspace, ByteFallback, Fuse and Strip in this order");
  };
  const bool is_first = !is_byte_level_ && !is_fused_ && !rules_.byte_runs &&
                        replacements_.empty() && !metaspace_ && rules_.strip_count == 0;
  if (is_byte_level_) refuse_order();
  if (type == "Sequence") {
    for (const Json& part : array_at(component, "decoders", place)) add(part);
  } else if (type == "ByteLevel") {
    if (!is_first) refuse_order();
    is_byte_level_ = true;
  } else if (type == "Replace") {
    if (rules_.byte_runs || is_fused_ || metaspace_) refuse_order();
    if (replacements_.size() == kMostReplacements) {
      throw FormatError(fmt::format("{}: more than {} of them", place, kMostReplacements));
    }
    const Json& pattern = object_at(component, "pattern", place);
    if (!has(pattern, "String")) refuse_component(place + ": pattern", pattern.dump(), "String");
    const std::string& searched = text_at(pattern, "String", place);
    if (searched.empty()) throw FormatError(place + ": an empty pattern");
    replacements_.push_back({searched, text_at(component, "content", place)});
  } else if (type == "Metaspace") {
    if (rules_.byte_runs || is_fused_ || metaspace_) refuse_order();
    metaspace_ = read_metaspace(component, place);
  } else if (type == "ByteFallback") {
    if (rules_.byte_runs || is_fused_) refuse_order();
    rules_.byte_runs = true;
  } else if (type == "Fuse") {
    is_fused_ = true;
  } else if (type == "Strip") {
    if (!is_fused_ || rules_.strip_count > 0) refuse_order();
    rules_.strip_front = text_at(component, "content", place);
    constexpr int kMostStrips = 1 << 20;
    const Json zero = 0;
    rules_.strip_count = static_cast<std::size_t>(count_of(
        has(component, "start") ? component.at("start") : zero, kMostStrips, place + ": start"));
    if (has(component, "stop") && component.at("stop") != 0) {
      refuse_component(place + ": stop", component.at("stop").dump(), "0");
    }
    if (rules_.strip_front.empty() ||
        next_utf8(rules_.strip_front, 0).length != rules_.strip_front.size()) {
      throw FormatError(place + ": `content` is not one character");
    }
  } else {
    refuse_component(where_, type,
                     "ByteLevel, Sequence, Replace, Metaspace, ByteFallback, Fuse and Strip");
  }
}

DecodedToken TokenDecoder::decode_token(std::string_view token) const {
  DecodedToken decoded;
  if (is_byte_level_) {
    decoded.bytes = from_byte_level(token).value_or(std::string(token));
    return decoded;
  }
  decoded.bytes = token;
  for (const Replacement& replacement : replacements_) {
    decoded.bytes = replace_all(decoded.bytes, replacement.pattern, replacement.content);
  }
  if (metaspace_) {
    std::string inside = replace_all(decoded.bytes, metaspace_->mark, " ");
    if (metaspace_->prepend != PrependScheme::never && inside != decoded.bytes) {
      decoded.bytes_at_start = replace_all(decoded.bytes, metaspace_->mark, "");
    }
    decoded.bytes = std::move(inside);
  }
  if (!rules_.byte_runs) return decoded;
  if (const std::optional<char> byte = byte_of_token_name(decoded.bytes)) {
    decoded.bytes = std::string(1, *byte);
    decoded.is_byte = true;
  }
  return decoded;
}

DecodedToken TokenDecoder::decode_added_token(std::string_view content) const {
  if (!is_byte_level_) return decode_token(content);
  DecodedToken decoded;
  decoded.bytes = content;
  return decoded;
}

}  // namespace gridmill::tokenizer_detail
