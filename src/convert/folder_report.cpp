#include "convert/folder_report.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

constexpr std::array<std::string_view, 12> kWeightEndings = {
    ".safetensors", ".bin",     ".pt", ".pth",  ".ckpt", ".gguf",
    ".ggml",        ".msgpack", ".h5", ".onnx", ".ot",   ".npz"};

/// Training state and what else only looks like weights.
constexpr std::array<std::string_view, 6> kNoWeights = {
    "training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state"};

constexpr std::array<std::string_view, 17> kHarmlessEndings = {
    ".md",  ".rst",  ".py",    ".pyc", ".png", ".jpg",  ".jpeg", ".gif", ".svg",
    ".pdf", ".webp", ".ipynb", ".sh",  ".yml", ".yaml", ".lock", ".log"};

constexpr std::array<std::string_view, 26> kHarmlessStarts = {
    ".",
    "README",
    "LICENSE",
    "LICENCE",
    "NOTICE",
    "USE_POLICY",
    "Notice",
    "License",
    "SECURITY",
    "CITATION",
    "training_args",
    "trainer_state",
    "train_results",
    "eval_results",
    "all_results",
    "training.json",
    "events.out",
    "optimizer.",
    "scheduler.",
    "scaler.",
    "rng_state",
    "requirements",
    "configuration.json",  // of the hub ModelScope: the name of the task
    "params.json",         // config.json in other words, beside consolidated weights
    "special_tokens_map.json",
    "preprocessor_config.json"};

template <typename List>
bool ends_with_one_of(std::string_view name, const List& endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [name](std::string_view ending) { return name.ends_with(ending); });
}

template <typename List>
bool starts_with_one_of(std::string_view name, const List& starts) {
  return std::any_of(starts.begin(), starts.end(),
                     [name](std::string_view start) { return name.starts_with(start); });
}

/// Files that tokenizer.json repeats, and models of tokenizers whose file is another one.
bool belongs_to_tokenizer(std::string_view name) {
  return name == "tokenizer.model" || name == "vocab.json" || name == "merges.txt" ||
         name == "added_tokens.json" || name == "vocab.txt" || name == "spiece.model" ||
         name == "sentencepiece.bpe.model" || name == "tokenizer.json" ||
         name == "tokenizer_config.json" || name.ends_with(".tiktoken") ||
         name.starts_with("tekken");
}

std::string list_of(const std::vector<std::string>& names) {
  constexpr std::size_t kMostNamed = 8;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kMostNamed); ++i) {
    list += (i == 0 ? "" : ", ") + names[i];
  }
  return names.size() > kMostNamed ? fmt::format("{} and {} more", list, names.size() - kMostNamed)
                                   : list;
}

/// Whether `value` changes nothing for the setting `name`.
bool is_neutral(std::string_view name, const Json& value) {
  if (value.is_null() || value == false || value == 0 || value.empty()) return true;
  if (name == "top_k" || name == "eta_cutoff" || name == "epsilon_cutoff") return false;
  constexpr std::array<std::string_view, 8> kNeutralOne = {
      "temperature",          "top_p",          "typical_p",
      "repetition_penalty",   "length_penalty", "num_beams",
      "num_return_sequences", "num_beam_groups"};
  const bool one = std::find(kNeutralOne.begin(), kNeutralOne.end(), name) != kNeutralOne.end();
  return (one || name == "encoder_repetition_penalty" || name == "guidance_scale") && value == 1;
}

constexpr std::array<std::string_view, 34> kSamplingSettings = {"do_sample",
                                                                "temperature",
                                                                "top_k",
                                                                "top_p",
                                                                "min_p",
                                                                "top_h",
                                                                "typical_p",
                                                                "epsilon_cutoff",
                                                                "eta_cutoff",
                                                                "repetition_penalty",
                                                                "encoder_repetition_penalty",
                                                                "presence_penalty",
                                                                "frequency_penalty",
                                                                "length_penalty",
                                                                "no_repeat_ngram_size",
                                                                "encoder_no_repeat_ngram_size",
                                                                "bad_words_ids",
                                                                "sequence_bias",
                                                                "suppress_tokens",
                                                                "begin_suppress_tokens",
                                                                "forced_bos_token_id",
                                                                "forced_eos_token_id",
                                                                "exponential_decay_length_penalty",
                                                                "num_beams",
                                                                "num_beam_groups",
                                                                "num_return_sequences",
                                                                "diversity_penalty",
                                                                "penalty_alpha",
                                                                "guidance_scale",
                                                                "max_new_tokens",
                                                                "min_new_tokens",
                                                                "min_length",
                                                                "stop_strings",
                                                                "watermarking_config"};

}  // namespace

bool is_weight_file(std::string_view name) {
  return ends_with_one_of(name, kWeightEndings) && !starts_with_one_of(name, kNoWeights) &&
         !name.starts_with("adapter_model");
}

std::string adapter_advice(const ModelFolder& folder) {
  std::string name;
  if (folder.has("adapter_config.json")) name = "adapter_config.json";
  for (const std::string& file : folder.names()) {
    if (name.empty() && file.starts_with("adapter_model.")) name = file;
  }
  if (name.empty()) return "";
  return fmt::format(
      "{} belongs to an adapter, which gridmill does not apply; merge it into the base model with "
      "peft (AutoPeftModelForCausalLM.from_pretrained(...).merge_and_unload().save_pretrained(...))"
      " and convert the result",
      folder.place_of(name));
}

std::string gguf_advice(const ModelFolder& folder) {
  const auto found = std::find_if(folder.names().begin(), folder.names().end(),
                                  [](const std::string& name) { return name.ends_with(".gguf"); });
  if (found == folder.names().end()) return "";
  return fmt::format("a GGUF file is converted by itself: gridmill convert {} ...",
                     folder.place_of(*found));
}

void report_unread_files(const ModelFolder& folder) {
  if (const std::string advice = adapter_advice(folder); !advice.empty()) {
    log::warn("{}", advice);
  }
  const bool has_tokenizer = folder.was_read("tokenizer.json") ||
                             folder.was_read("tokenizer.model") || folder.was_read("vocab.json");
  std::vector<std::string> weights;
  std::vector<std::string> others;
  for (const std::string& name : folder.names()) {
    if (folder.was_read(name) || name.starts_with("adapter_")) continue;
    if (ends_with_one_of(name, kHarmlessEndings) || starts_with_one_of(name, kHarmlessStarts)) {
      continue;
    }
    if (is_weight_file(name) || name.ends_with(".index.json")) {
      weights.push_back(name);
    } else if (!(has_tokenizer && belongs_to_tokenizer(name))) {
      others.push_back(name);
    }
  }
  if (!weights.empty()) {
    log::info("{}: other weights are not read: {}", folder.path(), list_of(weights));
  }
  if (!others.empty()) {
    log::warn("{}: files that gridmill does not know are not read: {}", folder.path(),
              list_of(others));
  }
}

void report_generation_settings(const Json& settings, const std::string& where) {
  if (!settings.is_object()) return;
  std::string list;
  for (const std::string_view name : kSamplingSettings) {
    const auto found = settings.find(name);
    if (found == settings.end() || is_neutral(name, *found)) continue;
    constexpr std::size_t kLongestValue = 40;
    std::string value = found->dump(-1, ' ', true, Json::error_handler_t::replace);
    if (value.size() > kLongestValue) value = "...";
    list += fmt::format("{}{} {}", list.empty() ? "" : ", ", name, value);
  }
  if (list.empty()) return;
  log::warn(
      "{}: these settings are not in effect unless `gridmill generate` gets them as options, or "
      "--generation-config all for those that it has: {}",
      where, list);
}

}  // namespace gridmill::convert_detail
