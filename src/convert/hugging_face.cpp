#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "convert/hugging_face_detail.hpp"
#include "convert/safetensors_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill::convert_detail {

namespace {

std::optional<std::string> read_if_there(const std::string& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  return read_text_file(path);
}

/// The template in tokenizer_config.json: a text, or a list of named ones of which "default"
/// counts.
std::optional<std::string> template_in(const std::string& tokenizer_config,
                                       const std::string& where) {
  const Json parsed = parse_json(tokenizer_config, where);
  if (!parsed.is_object() || !parsed.contains("chat_template")) return std::nullopt;
  const Json& found = parsed["chat_template"];
  if (found.is_string()) return found.get<std::string>();
  if (found.is_array()) {
    for (const Json& entry : found) {
      if (entry.is_object() && entry.value("name", Json()) == "default" &&
          entry.value("template", Json()).is_string()) {
        return entry["template"].get<std::string>();
      }
    }
  }
  if (!found.is_null()) log::warn("{}: chat_template has no default template; left out", where);
  return std::nullopt;
}

void add_files(const std::string& folder, ForeignModel& foreign) {
  for (const std::string name : {"generation_config.json", "tokenizer_config.json"}) {
    if (auto content = read_if_there(folder + "/" + name)) foreign.files[name] = *content;
  }
  const std::string own_file = "chat_template.jinja";
  std::optional<std::string> chat_template = read_if_there(folder + "/" + own_file);
  if (!chat_template && foreign.files.contains("tokenizer_config.json")) {
    chat_template =
        template_in(foreign.files["tokenizer_config.json"], folder + "/tokenizer_config.json");
  }
  if (chat_template) foreign.files[own_file] = *chat_template;
}

void add_tokenizer(const std::string& folder, ForeignModel& foreign) {
  for (const std::string_view kind : {kHuggingFaceTokenizer, kSentencePieceTokenizer}) {
    if (auto content = read_if_there(folder + "/" + std::string(kind))) {
      foreign.tokenizer_kind = kind;
      foreign.tokenizer = std::move(*content);
      return;
    }
  }
}

/// Buffers of old Llama checkpoints, and the head that a tied checkpoint may repeat.
bool is_harmless(std::string_view tensor, bool tied) {
  return tensor.ends_with("rotary_emb.inv_freq") || (tied && tensor == "lm_head.weight");
}

}  // namespace

ForeignModel open_hugging_face(const std::string& folder) {
  const std::string config_path = folder + "/config.json";
  if (!std::filesystem::exists(config_path)) {
    throw FormatError(folder +
                      ": config.json is missing; expected a Hugging Face folder with config.json "
                      "and safetensors files");
  }
  ForeignModel foreign;
  foreign.kind = "Hugging Face";
  foreign.where = folder;
  foreign.files["config.json"] = read_text_file(config_path);
  add_files(folder, foreign);
  add_tokenizer(folder, foreign);

  const Json config_json = parse_json(foreign.files["config.json"], config_path);
  ConfigFields config(config_json, config_path);
  HuggingFaceFamily family = hugging_face_family(config);
  // Refuse what is not supported before looking at gigabytes of weights.
  foreign.model = hugging_face_model(config, family);
  add_safetensors_folder(folder, foreign.tensors);
  const bool xlstm = family == HuggingFaceFamily::xlstm || family == HuggingFaceFamily::xlstm_large;
  if (xlstm) {  // the names of the tensors tell the two forms apart, whatever config.json says
    family = foreign.tensors.contains("embedding.weight") ? HuggingFaceFamily::xlstm_large
                                                          : HuggingFaceFamily::xlstm;
    foreign.model = hugging_face_model(config, family);
  }
  const std::string generation_path = folder + "/generation_config.json";
  const Json generation = foreign.files.contains("generation_config.json")
                              ? parse_json(foreign.files["generation_config.json"], generation_path)
                              : Json();
  set_token_ids(foreign.model, config, family, generation, generation_path);
  config.refuse_unread();

  if (xlstm) {
    const bool fused = config.text("weight_mode", "single") == "fused";
    foreign.take = [model = foreign.model, family, fused](const ParameterSpec& spec,
                                                          const ForeignTensors& /*tensors*/) {
      return take_from_xlstm(spec, model, family, fused);
    };
  } else {
    foreign.take = [](const ParameterSpec& spec, const ForeignTensors& /*tensors*/) {
      return take_from_llama(spec);
    };
    const bool tied = foreign.model.at("tied").get<bool>();
    foreign.harmless = [tied](std::string_view tensor) { return is_harmless(tensor, tied); };
  }
  return foreign;
}

}  // namespace gridmill::convert_detail
