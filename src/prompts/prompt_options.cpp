#include "gridmill/prompts/prompt_options.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/prompts/record_renderer.hpp"
#include "gridmill/template/template.hpp"

namespace gridmill {

namespace {

constexpr std::array<PromptOptionField, 11> kFields = {{
    {"messages-field", "NAME", "field of a record that holds messages",
     &PromptOptions::messages_field},
    {"template", "FILE", "Jinja template: text or messages from the fields of a record",
     &PromptOptions::record_template},
    {"system", "TEXT", "system message in front, or @FILE; a record's own one stays",
     &PromptOptions::system},
    {"few-shot", "FILE", "messages of a .jsonl file behind the system message",
     &PromptOptions::few_shot},
    {"chat-template", "HOW", "auto (the model's), none, a file, or a name that the model has",
     &PromptOptions::chat_template},
    {"template-vars", "K=V", "variable of the templates; may be given several times",
     &PromptOptions::template_vars},
    {"continue-final-message", nullptr, "the model goes on with the last message",
     &PromptOptions::continue_final_message},
    {"chat-time", "TIME", "clock of the templates, YYYY-MM-DDTHH:MM:SS", &PromptOptions::chat_time},
    {"max-prompt-tokens", "N", "longest prompt", &PromptOptions::max_prompt_tokens},
    {"truncate-prompt", "HOW", "refuse, left, right: what happens to a longer prompt",
     &PromptOptions::truncate_prompt},
    {"special-tokens", nullptr, nullptr, &PromptOptions::special_tokens},
}};

/// A special token is a text, or an object with its text.
std::optional<std::string> token_text(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    return value["content"].get<std::string>();
  }
  return std::nullopt;
}

/// tokenizer_config.json, or an empty object.
Json tokenizer_config(const ModelTexts& model) {
  const auto found = model.files.find("tokenizer_config.json");
  if (found == model.files.end()) return Json::object();
  Json config = parse_json(found->second, model.name + ":tokenizer_config.json");
  return config.is_object() ? config : Json::object();
}

std::string special_tokens_of(const ModelTexts& model) {
  const Json config = tokenizer_config(model);
  Json tokens = Json::object();
  for (const auto& [name, value] : config.items()) {
    if (!std::string_view(name).ends_with("_token")) continue;
    if (const std::optional<std::string> text = token_text(value)) tokens[name] = *text;
  }
  if (!config.contains("bos_token") && !model.bos_token.empty()) {
    tokens["bos_token"] = model.bos_token;
  }
  if (!config.contains("eos_token") && !model.eos_token.empty()) {
    tokens["eos_token"] = model.eos_token;
  }
  return tokens.empty() ? "" : tokens.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A template of tokenizer_config.json by its name.
std::optional<std::string> named_template(const ModelTexts& model, const std::string& name) {
  const Json config = tokenizer_config(model);
  const auto found = config.find("chat_template");
  if (found == config.end() || !found->is_array()) return std::nullopt;
  for (const Json& entry : *found) {
    if (entry.is_object() && entry.value("name", Json()) == name &&
        entry.value("template", Json()).is_string()) {
      return entry["template"].get<std::string>();
    }
  }
  return std::nullopt;
}

std::string chat_template_text(const std::string& given, const ModelTexts& model) {
  if (given == "none") return given;
  if (given == "auto") {
    const auto found = model.files.find("chat_template.jinja");
    return found == model.files.end() ? given : found->second;
  }
  if (std::filesystem::exists(given)) return read_text_file(given);
  if (std::optional<std::string> text = named_template(model, given)) return *text;
  if (given.find_first_of("./") != std::string::npos) return read_text_file(given);
  throw UsageError(fmt::format("--chat-template is '{}': neither a file nor a template that {} has",
                               given, model.name.empty() ? "a model" : model.name));
}

/// Adds the file to what a template's parser says.
void check_template(const std::string& text, const std::string& option, const std::string& given,
                    const PromptOptions& options) {
  const jinja::Template parsed = jinja::Template::parse(text, option + " " + given);
  if (options.chat_time.empty() && parsed.mentions("strftime_now")) {
    throw UsageError(fmt::format(
        "{} {} asks for the date (strftime_now): give --chat-time YYYY-MM-DDTHH:MM:SS, which then "
        "belongs to the job",
        option, given));
  }
}

std::string checked_jsonl(const std::string& path) {
  const std::string text = read_text_file(path);
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    static_cast<void>(parse_json(line, fmt::format("{}: line {}", path, number + 1)));
  }
  return text;
}

}  // namespace

std::span<const PromptOptionField> prompt_option_fields() { return kFields; }

Json to_json(const PromptOptions& options) {
  static const PromptOptions kDefaults;
  Json fields = Json::object();
  for (const PromptOptionField& field : kFields) {
    std::visit(
        [&](auto member) {
          if (options.*member != kDefaults.*member) fields[field.name] = options.*member;
        },
        field.member);
  }
  return fields;
}

PromptOptions prompt_options_from_json(const Json& fields) {
  PromptOptions options;
  for (const PromptOptionField& field : kFields) {
    const auto found = fields.find(field.name);
    if (found == fields.end()) continue;
    std::visit([&](auto member) { found->get_to(options.*member); }, field.member);
  }
  return options;
}

void check_prompt_options(const PromptOptions& options) {
  if (options.truncate_prompt != "refuse" && options.truncate_prompt != "left" &&
      options.truncate_prompt != "right") {
    throw UsageError(fmt::format("--truncate-prompt is '{}', expected refuse, left or right",
                                 options.truncate_prompt));
  }
  if (options.max_prompt_tokens < 0) {
    throw UsageError(
        fmt::format("--max-prompt-tokens is {}, expected 1 or more", options.max_prompt_tokens));
  }
  if (options.messages_field.empty()) throw UsageError("--messages-field is empty");
  for (const std::string& variable : options.template_vars) {
    const std::size_t sign = variable.find('=');
    if (sign == std::string::npos || sign == 0) {
      throw UsageError(fmt::format("--template-vars is '{}', expected NAME=VALUE", variable));
    }
  }
  if (!options.chat_time.empty()) {
    static_cast<void>(jinja::local_time_from_text(options.chat_time));
  }
  if (options.chat_template == "none" && (!options.system.empty() || !options.few_shot.empty())) {
    throw UsageError(fmt::format("--chat-template=none and --{} exclude each other",
                                 options.system.empty() ? "few-shot" : "system"));
  }
}

PromptOptions resolve_prompt_options(const PromptOptions& given, const ModelTexts& model,
                                     bool uses_messages) {
  PromptOptions resolved = given;
  if (!given.record_template.empty()) {
    resolved.record_template = read_text_file(given.record_template);
    check_template(resolved.record_template, "--template", given.record_template, given);
  }
  if (given.system.starts_with('@')) {
    const std::string path = given.system.substr(1);
    resolved.system = read_text_file(path);
    if (resolved.system.ends_with('\n')) resolved.system.pop_back();
  }
  if (!given.few_shot.empty()) resolved.few_shot = checked_jsonl(given.few_shot);
  const bool chats = uses_messages || !given.system.empty() || !given.few_shot.empty() ||
                     !given.record_template.empty() || given.chat_template != "auto";
  if (chats) {
    resolved.chat_template = chat_template_text(given.chat_template, model);
    const bool has_template = resolved.chat_template != "none" && resolved.chat_template != "auto";
    if (has_template || !given.record_template.empty()) {
      resolved.special_tokens = special_tokens_of(model);
    }
    // A --template mostly makes texts: then the chat template has no say.
    const bool certain = given.record_template.empty() || !given.system.empty() ||
                         !given.few_shot.empty() || given.chat_template != "auto";
    if (certain && has_template) {
      check_template(resolved.chat_template, "--chat-template", given.chat_template, given);
    }
  }
  try {
    static_cast<void>(to_json(resolved).dump());
  } catch (const Json::exception&) {
    throw FormatError(
        "--system, --template-vars or --messages-field holds bytes that are not UTF-8");
  }
  return resolved;
}

}  // namespace gridmill
