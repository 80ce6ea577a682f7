#include "convert/gguf/gguf.hpp"

#include <map>
#include <memory>
#include <utility>

#include "convert/gguf/gguf_blocks.hpp"
#include "convert/hugging_face_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

/// @throws FormatError: an adapter, a projector of pictures or statistics of quantisation, which
/// may
///         name the architecture of their model.
void refuse_parts_of_models(const GgufFile& file) {
  const auto type = file.metadata.find("general.type");
  if (type == file.metadata.end() || *type == "model") return;
  throw FormatError(
      fmt::format("{}: key general.type is {}: this is no model, so it is unsupported", file.path,
                  type->dump(-1, ' ', true, Json::error_handler_t::replace)));
}

/// @throws FormatError: a file of several, whose others have the rest of the tensors.
void refuse_parts(const GgufFile& file) {
  const auto parts = file.metadata.find("split.count");
  if (parts == file.metadata.end() || !parts->is_number_integer() || *parts < 2) return;
  throw FormatError(fmt::format(
      "{}: key split.count is {}: a model in several files is unsupported; join them with "
      "llama-gguf-split --merge",
      file.path, parts->get<std::int64_t>()));
}

/// One line on the types that lose their form.
void report_types(const GgufFile& file) {
  std::map<std::string_view, int> counts;
  for (const GgufEntry& entry : file.tensors) {
    const GgufFormat& format = gguf_format(entry.type, entry.name);
    if (format.values > 1) ++counts[format.name];
  }
  std::string list;
  for (const auto& [name, count] : counts) {
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", count, name);
  }
  if (list.empty()) return;
  log::info("{}: weights of {} are dequantised, to bf16 unless --dtype says otherwise", file.path,
            list);
}

const Family& family_of(std::string_view model_type) {
  for (const Family& family : families()) {
    if (family.model_type == model_type) return family;
  }
  throw InternalError("there is no family " + std::string(model_type));
}

}  // namespace

GgufModel open_gguf(const std::string& path) {
  auto file = std::make_shared<const GgufFile>(read_gguf_file(path));
  refuse_parts(*file);
  refuse_parts_of_models(*file);
  const GgufArchitecture& architecture = gguf_architecture(*file);
  ForeignModel foreign;
  foreign.kind = "GGUF";
  foreign.where = path;
  for (const GgufEntry& entry : file->tensors) {
    foreign.tensors.add(std::make_unique<GgufTensor>(*file, entry));
  }
  const Json config_json = gguf_config(*file, architecture, foreign.tensors);
  ConfigFields config(config_json, path + ": configuration");
  const Family& family = family_of(config_json.at("model_type").get<std::string>());
  ModelSpec spec = read_family(config, family);
  foreign.model = to_json(spec);
  set_token_ids(foreign.model, config, {}, Json(), path);
  config.refuse_unread();
  report_types(*file);
  foreign.harmless = [](std::string_view tensor) {  // went into the configuration
    return tensor == "rope_freqs.weight" || tensor.starts_with("rope_factors_");
  };
  foreign.take = [spec = std::move(spec), &architecture](const ParameterSpec& parameter,
                                                         const ForeignTensors& tensors) {
    const ParameterName name = split_parameter_name(parameter.name);
    return take_from_gguf({parameter, spec, tensors, name.layer, name.leaf}, architecture);
  };
  const auto chat_template = file->metadata.find("tokenizer.chat_template");
  if (chat_template != file->metadata.end() && chat_template->is_string()) {
    foreign.files["chat_template.jinja"] = chat_template->get<std::string>();
  }
  if (const Json tokens = gguf_special_tokens(*file); !tokens.empty()) {
    foreign.files["tokenizer_config.json"] =
        tokens.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return {.model = std::move(foreign), .tokenizer = [file] { return gguf_tokenizer(*file); }};
}

}  // namespace gridmill::convert_detail
