#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "convert/folder_report.hpp"
#include "convert/hugging_face_detail.hpp"
#include "convert/safetensors_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

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

void add_files(ModelFolder& folder, ForeignModel& foreign) {
  for (const std::string name : {"generation_config.json", "tokenizer_config.json"}) {
    if (auto content = folder.read_if_there(name)) foreign.files[name] = *content;
  }
  const std::string own_file = "chat_template.jinja";
  std::optional<std::string> chat_template = folder.read_if_there(own_file);
  if (!chat_template && foreign.files.contains("tokenizer_config.json")) {
    chat_template = template_in(foreign.files["tokenizer_config.json"],
                                folder.place_of("tokenizer_config.json"));
  }
  if (chat_template) foreign.files[own_file] = *chat_template;
}

/// Buffers of old Llama checkpoints, and the head that a tied checkpoint may repeat.
bool is_harmless(std::string_view tensor, bool tied) {
  return tensor.ends_with("rotary_emb.inv_freq") || (tied && tensor == "lm_head.weight");
}

}  // namespace

ForeignModel open_hugging_face(const std::string& path) {
  ForeignModel foreign;
  foreign.kind = "Hugging Face";
  foreign.where = path;
  foreign.folder = std::make_shared<ModelFolder>(path);
  ModelFolder& folder = *foreign.folder;
  const std::string config_path = folder.place_of("config.json");
  if (!folder.has("config.json")) {
    const std::string advice = adapter_advice(folder);
    throw FormatError(fmt::format(
        "{}: config.json is missing; expected a Hugging Face folder with config.json and "
        "safetensors files{}{}",
        path, advice.empty() ? "" : ". ", advice));
  }
  foreign.files["config.json"] = folder.read("config.json");
  add_files(folder, foreign);

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
  const std::string generation_path = folder.place_of("generation_config.json");
  const Json generation = foreign.files.contains("generation_config.json")
                              ? parse_json(foreign.files["generation_config.json"], generation_path)
                              : Json();
  set_token_ids(foreign.model, config, family, generation, generation_path);
  config.refuse_unread();
  report_generation_settings(generation.is_null() ? config_json : generation,
                             generation.is_null() ? config_path : generation_path);

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
