#include "convert/tokenizer_settings.hpp"

#include <array>
#include <charconv>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kSpecialMap = "special_tokens_map.json";
constexpr const char* kAdded = "added_tokens.json";

Json object_of(ModelFolder& folder, const std::string& name) {
  const auto text = folder.read_if_there(name);
  if (!text) return Json::object();
  Json parsed = parse_json(*text, folder.place_of(name));
  if (!parsed.is_object()) {
    throw FormatError(folder.place_of(name) + ": expected a JSON object");
  }
  return parsed;
}

/// A token is a text, or an object with its text in `content`.
std::string content_of(const Json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return token["content"].get<std::string>();
  }
  return "";
}

}  // namespace

TokenizerSettings::TokenizerSettings(ModelFolder& folder)
    : where_(folder.place_of(kConfig)), config_(object_of(folder, kConfig)) {
  read_special_tokens(config_, where_);
  const Json map = object_of(folder, kSpecialMap);
  read_special_tokens(map, folder.place_of(kSpecialMap));
  for (const auto& [name, token] : map.items()) {
    if (!config_.contains(name)) config_[name] = token;
  }
  read_decoder_of_added_tokens();
  read_old_added_tokens(object_of(folder, kAdded), folder.place_of(kAdded));
}

void TokenizerSettings::read_special_tokens(const Json& source, const std::string& where) {
  for (const auto& [name, value] : source.items()) {
    if (value.is_null()) continue;
    const bool is_list = name == "additional_special_tokens" || name == "extra_special_tokens";
    if (is_list && (value.is_array() || value.is_object())) {
      for (const Json& token : value) {
        if (const std::string content = content_of(token); !content.empty()) {
          special_.insert(content);
        }
      }
    } else if (name.ends_with("_token") && !name.starts_with("add_")) {
      const std::string content = content_of(value);
      if (content.empty() && (value.is_object() || value.is_array())) {
        throw FormatError(fmt::format("{}: {} is no token", where, name));
      }
      if (!content.empty()) special_.insert(content);
    }
  }
}

void TokenizerSettings::read_decoder_of_added_tokens() {
  if (!config_.contains("added_tokens_decoder")) return;
  const Json& decoder = config_["added_tokens_decoder"];
  const std::string place = where_ + ": added_tokens_decoder";
  if (!decoder.is_object()) throw FormatError(place + " is no object");
  for (const auto& [key, entry] : decoder.items()) {
    std::int64_t id = -1;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size() || id < 0 ||
        content_of(entry).empty() || !entry.is_object()) {
      throw FormatError(fmt::format("{}: \"{}\" is no id with a token", place, key));
    }
    Json token = entry;
    token["id"] = id;
    added_[id] = std::move(token);
  }
}

void TokenizerSettings::read_old_added_tokens(const Json& tokens, const std::string& where) {
  for (const auto& [content, id] : tokens.items()) {
    if (!id.is_number_unsigned() || content.empty()) {
      throw FormatError(fmt::format("{}: \"{}\" has no id", where, content));
    }
    const bool special = special_.contains(content);
    const auto [known, is_new] = added_.try_emplace(
        id.get<std::int64_t>(),
        Json{{"id", id}, {"content", content}, {"special", special}, {"normalized", !special}});
    if (!is_new && content_of(known->second) != content) {
      throw FormatError(fmt::format("{}: id {} is `{}`, but `{}` in {}", where, id.dump(), content,
                                    content_of(known->second), where_));
    }
  }
}

std::optional<bool> TokenizerSettings::flag(const char* name) const {
  const auto found = config_.find(name);
  if (found == config_.end() || found->is_null()) return std::nullopt;
  if (!found->is_boolean()) {
    throw FormatError(fmt::format("{}: {} is no flag", where_, name));
  }
  return found->get<bool>();
}

std::string TokenizerSettings::tokenizer_class() const {
  const auto found = config_.find("tokenizer_class");
  if (found == config_.end() || !found->is_string()) return "";
  std::string name = found->get<std::string>();
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

std::string TokenizerSettings::special_token(const char* name) const {
  const auto found = config_.find(name);
  return found == config_.end() ? "" : content_of(*found);
}

void TokenizerSettings::report_others() const {
  constexpr std::array<const char*, 5> kFlags = {"clean_up_tokenization_spaces", "do_lower_case",
                                                 "do_lower", "split_special_tokens",
                                                 "keep_accents"};
  std::string list;
  for (const char* name : kFlags) {
    const auto found = config_.find(name);
    if (found != config_.end() && *found == true)
      list += (list.empty() ? "" : ", ") + std::string(name);
  }
  if (!list.empty()) {
    log::info("{}: settings that are not applied: {}", where_, list);
  }
}

}  // namespace gridmill::convert_detail
