#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "convert/hugging_face_detail.hpp"
#include "convert/quantised/quantisation.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/convert/convert.hpp"

namespace gridmill::convert_detail {

namespace {

/// Multimodal models whose text model runs: their text_config, and what its model_type is if it
/// does not say.
struct NestedRow {
  std::string_view model_type;
  std::string_view text_model_type;
};
constexpr std::array kNested = {
    NestedRow{"gemma3", "gemma3_text"},
    NestedRow{"mistral3", "mistral"},
    NestedRow{"qwen3_5", "qwen3_5_text"},
};
constexpr std::string_view kXlstm = "xlstm";
constexpr std::string_view kXlstmArchitecture = "xLSTMForCausalLM";
/// NX-AI's xlstm package, which writes neither model_type nor architectures.
constexpr std::string_view kPackageArchitecture = "xLSTMLMModel";

std::string supported() {
  std::string list;
  for (const Family& family : families()) list += std::string(family.model_type) + ", ";
  for (const NestedRow& row : kNested) list += std::string(row.model_type) + ", ";
  return "supported are " + list + std::string(kXlstm);
}

/// The first id of a field; -1 = none. `fallback` if the field is not even mentioned.
std::int64_t first_id(ConfigFields& fields, const std::string& name, std::int64_t fallback) {
  if (!fields.mentioned(name)) return fallback;
  const std::vector<std::int64_t> ids = fields.token_ids(name);
  return ids.empty() ? -1 : ids.front();
}

}  // namespace

TextConfig text_config_of(const Json& config, const std::string& where) {
  TextConfig text{.fields = config, .where = where};
  if (!config.is_object() || !config.contains("text_config")) return text;
  const Json type = config.value("model_type", Json());
  const auto* row = std::find_if(kNested.begin(), kNested.end(), [&](const NestedRow& one) {
    return type.is_string() && type.get_ref<const std::string&>() == one.model_type;
  });
  if (row == kNested.end()) return text;  // its own fields say what it is
  text.fields = config["text_config"];
  text.where = where + ": text_config";
  text.nested = true;
  if (!text.fields.is_object()) return text;
  if (!text.fields.contains("model_type")) text.fields["model_type"] = row->text_model_type;
  for (const char* name : {"bos_token_id", "eos_token_id", "tie_word_embeddings",
                           "quantization_config", "compression_config"}) {
    if (config.contains(name) && !text.fields.contains(name)) text.fields[name] = config[name];
  }
  return text;
}

void strip_text_prefix(ForeignTensors& tensors) {
  tensors.rename([](const std::string& name) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kPrefixes = {{
        {"language_model.model.", "model."},
        {"model.language_model.", "model."},
        {"language_model.lm_head.", "lm_head."},
    }};
    for (const auto& [theirs, plain] : kPrefixes) {
      if (name.starts_with(theirs)) return std::string(plain) + name.substr(theirs.size());
    }
    return name;
  });
}

const Family* hugging_face_family(ConfigFields& config) {
  const std::string type = config.text("model_type", "");
  std::string architecture;
  if (const Json* list = config.value("architectures")) {
    if (!list->is_array() || (!list->empty() && !list->front().is_string())) {
      config.fail("architectures", "is not a list of names");
    }
    if (!list->empty()) architecture = list->front().get<std::string>();
  }
  const auto matches = [&](std::string_view known_type, std::string_view known_architecture) {
    if (type.empty() ? architecture != known_architecture : type != known_type) return false;
    if (!architecture.empty() && architecture != known_architecture) {
      config.fail("architectures",
                  fmt::format("names {}, which is unsupported; expected {} for model_type {}",
                              architecture, known_architecture, known_type));
    }
    return true;
  };
  for (const Family& family : families()) {
    if (matches(family.model_type, family.architecture)) return &family;
  }
  if (type.empty() && architecture.empty() &&
      (config.given("mlstm_block") || config.given("slstm_block"))) {
    const auto found = std::find_if(families().begin(), families().end(), [](const Family& family) {
      return family.architecture == kPackageArchitecture;
    });
    return &*found;
  }
  if (matches(kXlstm, kXlstmArchitecture)) return nullptr;
  if (!type.empty()) {
    config.fail("model_type",
                fmt::format("is \"{}\": this model is unsupported; {}", type, supported()));
  }
  if (!architecture.empty()) {
    config.fail("architectures",
                fmt::format("names {}, which is unsupported; {}", architecture, supported()));
  }
  if (xlstm_form(config) == XlstmForm::large) return nullptr;
  config.fail("model_type", fmt::format("is missing; {}", supported()));
}

XlstmForm xlstm_form(ConfigFields& config) {
  // NX-AI's own package writes no model_type.
  const bool large = !config.given("model_type") && !config.given("architectures") &&
                     config.given("embedding_dim") && config.given("num_blocks") &&
                     config.given("num_heads");
  return large ? XlstmForm::large : XlstmForm::transformers;
}

ModelSpec read_family(ConfigFields& config, const Family& family) {
  ModelSpec spec = family.read(config);
  spec.family = family.model_type;
  return spec;
}

TokenDefaults xlstm_tokens(XlstmForm form) {
  if (form == XlstmForm::transformers) return {.bos = 0, .eod = {2}};
  return {};
}

ParameterTake take_from_family(const ParameterSpec& spec, const ModelSpec& model,
                               const Family& family, const ForeignTensors& tensors) {
  const ParameterName name = split_parameter_name(spec.name);
  return family.take({spec, model, tensors, name.layer, name.leaf});
}

void set_token_ids(Json& model, ConfigFields& config, const TokenDefaults& defaults,
                   const Json& generation, const std::string& generation_where) {
  std::int64_t bos = defaults.bos;
  std::vector<std::int64_t> eod = defaults.eod;
  bos = first_id(config, "bos_token_id", bos);
  if (config.mentioned("eos_token_id")) eod = config.token_ids("eos_token_id");
  if (!generation.is_null()) {
    ConfigFields fields(generation, generation_where);
    if (fields.given("bos_token_id")) bos = first_id(fields, "bos_token_id", bos);
    if (fields.given("eos_token_id")) eod = fields.token_ids("eos_token_id");
  }
  const auto vocab_size = model.at("vocab_size").get<std::int64_t>();
  if (bos >= vocab_size) {
    log::warn("{}: bos_token_id {} is outside the vocabulary of {}; the model gets none",
              config.where(), bos, vocab_size);
    bos = -1;
  }
  Json eod_ids = Json::array();
  for (const std::int64_t id : eod) {
    if (id < vocab_size) {
      eod_ids.push_back(id);
    } else {
      log::warn("{}: eos_token_id {} is outside the vocabulary of {}; left out", config.where(), id,
                vocab_size);
    }
  }
  model["bos_id"] = bos;
  model["eod_ids"] = std::move(eod_ids);
}

void ignore_common_fields(ConfigFields& config) {
  config.ignore(
      {// what it is and who wrote it
       "model_type", "architectures", "transformers_version", "_name_or_path", "name_or_path",
       "auto_map", "transformers.js_config", "unsloth_version", "unsloth_fixed", "tokenizer_class",
       "torch_dtype", "dtype", "_commit_hash", "is_decoder",
       // tokens: see set_token_ids
       "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id",
       // training, initialisation, other tasks
       "initializer_range", "hidden_dropout", "resid_pdrop", "embd_pdrop", "num_labels", "id2label",
       "label2id", "problem_type", "finetuning_task", "task_specific_params",
       "gradient_checkpointing", "pruned_heads", "chunk_size_feed_forward", "classifier_dropout",
       // how transformers runs it
       "use_cache", "return_dict", "output_attentions", "output_hidden_states", "torchscript",
       "use_bfloat16", "tf_legacy_loss", "_attn_implementation", "attn_implementation",
       "_attn_implementation_autoset", "_flash_attn_2_enabled", "prefix", "tie_encoder_decoder",
       // generation settings that old files keep here
       "max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
       "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
       "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
       "num_return_sequences", "output_scores", "return_dict_in_generate", "forced_bos_token_id",
       "forced_eos_token_id", "remove_invalid_values", "exponential_decay_length_penalty",
       "suppress_tokens", "begin_suppress_tokens"});
  config.refuse({"is_encoder_decoder", "add_cross_attention", "cross_attention_hidden_size"});
}

}  // namespace gridmill::convert_detail

namespace gridmill {

Json model_of_config(const Json& config, const std::string& where) {
  const convert_detail::TextConfig text = convert_detail::text_config_of(config, where);
  convert_detail::ConfigFields fields(text.fields, text.where);
  const convert_detail::Family* family = convert_detail::hugging_face_family(fields);
  Json model;
  if (family != nullptr) {
    model = to_json(convert_detail::read_family(fields, *family));
    if (!family->reads_quantization) {  // says nothing of the model's shape
      static_cast<void>(convert_detail::read_quantisation(fields));
    }
    convert_detail::set_token_ids(model, fields, family->tokens, Json(), "");
  } else {
    const convert_detail::XlstmForm form = convert_detail::xlstm_form(fields);
    model = convert_detail::xlstm_model(fields, form);
    convert_detail::set_token_ids(model, fields, convert_detail::xlstm_tokens(form), Json(), "");
  }
  fields.refuse_unread();
  return model;
}

}  // namespace gridmill
