#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "convert/folder_report.hpp"
#include "convert/hugging_face_detail.hpp"
#include "convert/quantised/quantisation.hpp"
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

/// Python writes infinities and NaN as bare words, which are no JSON: they become texts.
std::string with_quoted_words(const std::string& json) {
  std::string quoted;
  bool inside = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (json[i] == '\\' && inside && i + 1 < json.size()) {
      quoted += json[i++];
    } else if (json[i] == '"') {
      inside = !inside;
    } else if (!inside) {
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
        if (!json.compare(i, word.size(), word)) {
          quoted += '"' + std::string(word) + '"';
          i += word.size();
          break;
        }
      }
      if (i == json.size()) break;
    }
    quoted += json[i];
  }
  return quoted;
}

/// Image encoders and the like beside a text model.
bool is_of_another_part(std::string_view tensor) {
  return tensor.starts_with("vision_tower.") || tensor.starts_with("multi_modal_projector.") ||
         tensor.starts_with("model.vision_tower.") || tensor.starts_with("model.visual.") ||
         tensor.starts_with("model.multi_modal_projector.");
}

void open_described(const TextConfig& text, ConfigFields& config, const Family& family,
                    ForeignModel& foreign) {
  // Refuse what is not supported before looking at gigabytes of weights.
  ModelSpec spec = read_family(config, family);
  const std::optional<Quantisation> quantisation =
      family.reads_quantization ? std::nullopt : read_quantisation(config);
  add_safetensors_folder(*foreign.folder, foreign.tensors);
  if (text.nested) strip_text_prefix(foreign.tensors);
  if (quantisation) expand_quantised(*quantisation, foreign.tensors, foreign.where);
  if (family.derive != nullptr) family.derive(foreign.tensors, spec);
  foreign.model = to_json(spec);
  const bool tied = spec.head.tied;
  const bool nested = text.nested;
  foreign.harmless = [&family, tied, nested](std::string_view tensor) {
    return (tied && tensor == "lm_head.weight") || (nested && is_of_another_part(tensor)) ||
           (family.harmless != nullptr && family.harmless(tensor));
  };
  foreign.take = [spec = std::move(spec), &family](const ParameterSpec& parameter,
                                                   const ForeignTensors& tensors) {
    return take_from_family(parameter, spec, family, tensors);
  };
}

void open_xlstm(ConfigFields& config, ForeignModel& foreign) {
  static_cast<void>(xlstm_model(config, xlstm_form(config)));
  add_safetensors_folder(*foreign.folder, foreign.tensors);
  // The names of the tensors distinguish the two forms, for any config.json.
  const XlstmForm form =
      foreign.tensors.contains("embedding.weight") ? XlstmForm::large : XlstmForm::transformers;
  foreign.model = xlstm_model(config, form);
  const bool fused = config.text("weight_mode", "single") == "fused";
  foreign.take = [model = foreign.model, form, fused](const ParameterSpec& spec,
                                                      const ForeignTensors& /*tensors*/) {
    return take_from_xlstm(spec, model, form, fused);
  };
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
    std::string advice = adapter_advice(folder);
    if (advice.empty()) advice = gguf_advice(folder);
    throw FormatError(fmt::format(
        "{}: config.json is missing; expected a Hugging Face folder with config.json and "
        "safetensors files{}{}",
        path, advice.empty() ? "" : ". ", advice));
  }
  foreign.files["config.json"] = folder.read("config.json");
  add_files(folder, foreign);

  const Json config_json = parse_json(with_quoted_words(foreign.files["config.json"]), config_path);
  const TextConfig text = text_config_of(config_json, config_path);
  ConfigFields config(text.fields, text.where);
  const Family* family = hugging_face_family(config);
  if (family != nullptr) {
    open_described(text, config, *family, foreign);
  } else {
    open_xlstm(config, foreign);
  }
  const std::string generation_path = folder.place_of("generation_config.json");
  const Json generation = foreign.files.contains("generation_config.json")
                              ? parse_json(foreign.files["generation_config.json"], generation_path)
                              : Json();
  const TokenDefaults tokens =
      family != nullptr
          ? family->tokens
          : xlstm_tokens(foreign.tensors.contains("embedding.weight") ? XlstmForm::large
                                                                      : XlstmForm::transformers);
  set_token_ids(foreign.model, config, tokens, generation, generation_path);
  config.refuse_unread();
  report_generation_settings(generation.is_null() ? config_json : generation,
                             generation.is_null() ? config_path : generation_path);
  return foreign;
}

}  // namespace gridmill::convert_detail
