#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "convert/hugging_face_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/convert/convert.hpp"

namespace gridmill::convert_detail {

namespace {

struct FamilyRow {
  std::string_view model_type;
  std::string_view architecture;
  HuggingFaceFamily family;
};
constexpr std::array kFamilies = {
    FamilyRow{"llama", "LlamaForCausalLM", HuggingFaceFamily::llama},
    FamilyRow{"mistral", "MistralForCausalLM", HuggingFaceFamily::mistral},
    FamilyRow{"qwen2", "Qwen2ForCausalLM", HuggingFaceFamily::qwen2},
    FamilyRow{"qwen3", "Qwen3ForCausalLM", HuggingFaceFamily::qwen3},
    FamilyRow{"xlstm", "xLSTMForCausalLM", HuggingFaceFamily::xlstm},
};
constexpr std::string_view kSupported = "supported are llama, mistral, qwen2, qwen3 and xlstm";

/// The first id of a field; -1 = none. `fallback` if the field is not even mentioned.
std::int64_t first_id(ConfigFields& fields, const std::string& name, std::int64_t fallback) {
  if (!fields.mentioned(name)) return fallback;
  const std::vector<std::int64_t> ids = fields.token_ids(name);
  return ids.empty() ? -1 : ids.front();
}

}  // namespace

HuggingFaceFamily hugging_face_family(ConfigFields& config) {
  const std::string type = config.text("model_type", "");
  std::string architecture;
  if (const Json* list = config.value("architectures")) {
    if (!list->is_array() || (!list->empty() && !list->front().is_string())) {
      config.fail("architectures", "is not a list of names");
    }
    if (!list->empty()) architecture = list->front().get<std::string>();
  }
  for (const FamilyRow& row : kFamilies) {
    if (type.empty() ? architecture != row.architecture : type != row.model_type) continue;
    if (!architecture.empty() && architecture != row.architecture) {
      config.fail("architectures",
                  fmt::format("names {}, which is unsupported; expected {} for model_type {}",
                              architecture, row.architecture, row.model_type));
    }
    return row.family;
  }
  if (!type.empty()) {
    config.fail("model_type",
                fmt::format("is \"{}\": this model is unsupported; {}", type, kSupported));
  }
  if (!architecture.empty()) {
    config.fail("architectures",
                fmt::format("names {}, which is unsupported; {}", architecture, kSupported));
  }
  // NX-AI's own package writes no model_type.
  if (config.given("embedding_dim") && config.given("num_blocks") && config.given("num_heads")) {
    return HuggingFaceFamily::xlstm_large;
  }
  config.fail("model_type", fmt::format("is missing; {}", kSupported));
}

Json hugging_face_model(ConfigFields& config, HuggingFaceFamily family) {
  config.refuse({"quantization_config", "compression_config"});
  const bool xlstm = family == HuggingFaceFamily::xlstm || family == HuggingFaceFamily::xlstm_large;
  return xlstm ? xlstm_model(config, family) : llama_model(config, family);
}

void set_token_ids(Json& model, ConfigFields& config, HuggingFaceFamily family,
                   const Json& generation, const std::string& generation_where) {
  // Defaults of the configuration classes of transformers; Qwen has none.
  std::int64_t bos = -1;
  std::vector<std::int64_t> eod;
  if (family == HuggingFaceFamily::llama || family == HuggingFaceFamily::mistral) {
    bos = 1;
    eod = {2};
  } else if (family == HuggingFaceFamily::xlstm) {
    bos = 0;
    eod = {2};
  }
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
  convert_detail::ConfigFields fields(config, where);
  const convert_detail::HuggingFaceFamily family = convert_detail::hugging_face_family(fields);
  Json model = convert_detail::hugging_face_model(fields, family);
  convert_detail::set_token_ids(model, fields, family, Json(), "");
  fields.refuse_unread();
  return model;
}

}  // namespace gridmill
