#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/model/model_spec.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using test::contains_all;
using test::convert_outcome;
using test::Outcome;
using test::SafetensorsWriter;
using test::stored_dtype;
using test::stored_values;
using test::TemporaryFolder;
using test::TinyLlama;

constexpr const char* kTokenizer = GRIDMILL_MODELS_DIR "/tiny-xlstm-shakespeare/tokenizer.json";

class HuggingFace : public testing::Test {
 protected:
  std::string destination() const { return out_.file("model.h5"); }
  Outcome outcome_of(const TinyLlama& model) {
    return convert_outcome({.source = model.write(folder_), .destination = destination()});
  }
  CheckpointFile converted(const TinyLlama& model, std::optional<DType> dtype = std::nullopt) {
    convert({.source = model.write(folder_), .destination = destination(), .dtype = dtype});
    return CheckpointFile::open(destination());
  }
  TemporaryFolder folder_;
  TemporaryFolder out_;
};

TEST_F(HuggingFace, AllTensorsOfALlamaKeepTheirNumbers) {
  const CheckpointFile file = converted(TinyLlama());
  EXPECT_EQ(file.parameters().size(), 3U + 2U * 9U);
  const std::vector<std::pair<std::string, std::string>> names = {
      {"embedding", "model.embed_tokens.weight"},
      {"layers.1.attention_norm", "model.layers.1.input_layernorm.weight"},
      {"layers.1.ffn_norm", "model.layers.1.post_attention_layernorm.weight"},
      {"layers.0.q", "model.layers.0.self_attn.q_proj.weight"},
      {"layers.1.k", "model.layers.1.self_attn.k_proj.weight"},
      {"layers.0.v", "model.layers.0.self_attn.v_proj.weight"},
      {"layers.0.o", "model.layers.0.self_attn.o_proj.weight"},
      {"layers.0.gate", "model.layers.0.mlp.gate_proj.weight"},
      {"layers.0.up", "model.layers.0.mlp.up_proj.weight"},
      {"layers.1.down", "model.layers.1.mlp.down_proj.weight"},
      {"final_norm", "model.norm.weight"},
      {"head", "lm_head.weight"},
  };
  for (const auto& [ours, theirs] : names) {
    const std::vector<float> stored = stored_values(file, ours);
    EXPECT_EQ(stored,
              SafetensorsWriter::random_values(theirs, {static_cast<std::int64_t>(stored.size())}))
        << ours;
  }
}

TEST_F(HuggingFace, TheConfigurationIsTranslated) {
  const CheckpointFile file = converted(TinyLlama());
  const ModelSpec model = read_model_spec(file.model());
  EXPECT_EQ(model.family, "llama");
  EXPECT_EQ(model.max_length, 64);
  EXPECT_EQ(model.bos_id, 1);
  EXPECT_EQ(model.eod_ids, std::vector<TokenId>{2});
  EXPECT_EQ(model.rotary, (std::vector<RotarySpec>{{.width = 2}}));
  const BlockSpec& block = model.layers.at(0).blocks.at(0);
  EXPECT_EQ(block.norm, (NormSpec{.kind = NormKind::rms, .eps = 1e-5}));
  const auto& attention = std::get<AttentionSpec>(block.mixer);
  EXPECT_EQ(attention.head_width, 2);
  EXPECT_EQ(attention.kv_heads, 2);
  EXPECT_EQ(attention.window, std::nullopt);
}

TEST_F(HuggingFace, Bf16StaysBf16AndFp16BecomesFp32) {
  TinyLlama model;
  const std::string matrix = "model.layers.0.self_attn.q_proj.weight";
  model.weights.header().erase(matrix);
  model.weights.header().erase("lm_head.weight");
  model.weights.add_bf16(matrix, {8, 8}, std::vector<float>(64, 1.5F));
  model.weights.add_raw("lm_head.weight", "F16", {16, 8}, std::string(256, '\x3C'));
  const CheckpointFile file = converted(model);
  EXPECT_EQ(stored_dtype(file, "layers.0.q"), DType::bf16);
  EXPECT_EQ(stored_values(file, "layers.0.q"), std::vector<float>(64, 1.5F));
  EXPECT_EQ(stored_dtype(file, "head"), DType::fp32);
  EXPECT_EQ(stored_values(file, "head"), std::vector<float>(128, fp16_to_fp32(0x3C3C)));
}

TEST_F(HuggingFace, TheDtypeOptionConvertsEveryMatrix) {
  const CheckpointFile file = converted(TinyLlama(), DType::bf16);
  std::vector<float> expected = SafetensorsWriter::random_values("lm_head.weight", {16, 8});
  for (float& value : expected) value = bf16_to_fp32(fp32_to_bf16(value));
  for (const StoredParameter& parameter : file.parameters()) {
    const bool is_vector = parameter.spec.shape.size() == 1;
    EXPECT_EQ(parameter.dtype, is_vector ? DType::fp32 : DType::bf16) << parameter.spec.name;
  }
  EXPECT_EQ(stored_values(file, "head"), expected);
}

TEST_F(HuggingFace, ATiedModelNeedsNoHeadAndStaysTiedWithTheSameNumbers) {
  TinyLlama model;
  model.config["tie_word_embeddings"] = true;
  model.weights.header().erase("lm_head.weight");
  EXPECT_EQ(converted(model).parameters().size(), 2U + 2U * 9U);
  model.weights.add("lm_head.weight", {16, 8},
                    SafetensorsWriter::random_values("model.embed_tokens.weight", {16, 8}));
  const CheckpointFile file = converted(model);
  EXPECT_EQ(file.parameters().size(), 2U + 2U * 9U);
  EXPECT_EQ(file.model().at("head").at("tied"), true);
}

TEST_F(HuggingFace, ATiedModelWithAnotherHeadUsesThatHead) {
  TinyLlama model;
  model.config["tie_word_embeddings"] = true;
  testing::internal::CaptureStderr();
  const CheckpointFile file = converted(model);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(contains_all(log, {"lm_head.weight", "other numbers"})) << log;
  EXPECT_EQ(file.model().at("head").at("tied"), false);
  EXPECT_EQ(stored_values(file, "head"),
            SafetensorsWriter::random_values("lm_head.weight", {16, 8}));
}

TEST_F(HuggingFace, ATiedModelWithAHeadOfAnotherShapeIsRefused) {
  TinyLlama model;
  model.config["tie_word_embeddings"] = true;
  model.weights.header().erase("lm_head.weight");
  model.weights.add_random("lm_head.weight", {17, 8});
  EXPECT_EQ(outcome_of(model).code, ExitCode::bad_input);
}

TEST_F(HuggingFace, OldRotaryBuffersAndUnknownTensorsDoNotStopTheConversion) {
  TinyLlama model;
  model.weights.add_random("model.layers.0.self_attn.rotary_emb.inv_freq", {1});
  model.weights.add_random("surprise", {1});
  EXPECT_EQ(outcome_of(model).code, ExitCode::ok);
}

TEST_F(HuggingFace, FilesAreKeptVerbatim) {
  TinyLlama model;
  folder_.write("generation_config.json", R"({"eos_token_id": [2, 5],  "bos_token_id": 3})");
  folder_.write("tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
  folder_.write("tokenizer.json", read_text_file(kTokenizer));
  model.config["vocab_size"] = 512;
  for (const char* name : {"model.embed_tokens.weight", "lm_head.weight"}) {
    model.weights.header().erase(name);
    model.weights.add_random(name, {512, 8});
  }
  const CheckpointFile file = converted(model);
  EXPECT_EQ(file.files().at("config.json"), model.config.dump());
  EXPECT_EQ(file.files().at("generation_config.json"),
            R"({"eos_token_id": [2, 5],  "bos_token_id": 3})");
  EXPECT_EQ(file.files().at("chat_template.jinja"), "{{ messages }}");
  EXPECT_EQ(file.tokenizer_kind(), "tokenizer.json");
  EXPECT_EQ(file.tokenizer(), read_text_file(kTokenizer));
  EXPECT_EQ(file.model().at("bos_id"), 3) << "generation_config.json comes first";
  EXPECT_EQ(file.model().at("eod_ids"), Json::array({2, 5}));
}

TEST_F(HuggingFace, AFileOfItsOwnHoldsTheChatTemplateFirst) {
  folder_.write("tokenizer_config.json", R"({"chat_template": "from the configuration"})");
  folder_.write("chat_template.jinja", "from the file");
  EXPECT_EQ(converted(TinyLlama()).files().at("chat_template.jinja"), "from the file");
}

TEST_F(HuggingFace, TheDefaultOfSeveralChatTemplatesIsTaken) {
  folder_.write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "no"},)"
                                         R"({"name": "default", "template": "yes"}]})");
  EXPECT_EQ(converted(TinyLlama()).files().at("chat_template.jinja"), "yes");
}

TEST_F(HuggingFace, AFolderWithoutTokenizerConverts) {
  EXPECT_EQ(converted(TinyLlama()).tokenizer_kind(), "");
}

TEST_F(HuggingFace, ABrokenTokenizerIsABadInput) {
  folder_.write("tokenizer.json", "{}");
  const Outcome outcome = outcome_of(TinyLlama());
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"tokenizer.json"})) << outcome.message;
  EXPECT_FALSE(std::filesystem::exists(destination()));
}

TEST_F(HuggingFace, AFolderWithoutConfigIsABadInput) {
  folder_.write("model.safetensors", TinyLlama().weights.bytes());
  const Outcome outcome =
      convert_outcome({.source = folder_.path().string(), .destination = destination()});
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"config.json"})) << outcome.message;
}

TEST_F(HuggingFace, ASourceThatIsNotThereIsAMissingInput) {
  const Outcome outcome =
      convert_outcome({.source = folder_.file("nothing"), .destination = destination()});
  EXPECT_EQ(outcome.code, ExitCode::missing_input);
  EXPECT_TRUE(contains_all(outcome.message, {"nothing"})) << outcome.message;
}

TEST_F(HuggingFace, AMissingTensorIsNamedWithItsShape) {
  TinyLlama model;
  model.weights.header().erase("model.layers.1.mlp.up_proj.weight");
  const Outcome outcome = outcome_of(model);
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(
      outcome.message,
      {folder_.path().string(), "model.layers.1.mlp.up_proj.weight", "[12, 8]", "missing"}))
      << outcome.message;
  EXPECT_FALSE(std::filesystem::exists(destination()));
}

TEST_F(HuggingFace, AWrongShapeIsNamedWithFoundAndExpected) {
  TinyLlama model;
  model.config["num_key_value_heads"] = 4;
  const Outcome outcome = outcome_of(model);
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(
      outcome.message,
      {"model.safetensors", "model.layers.0.self_attn.k_proj.weight", "[4, 8]", "expected [8, 8]"}))
      << outcome.message;
}

TEST_F(HuggingFace, AnIntegerTensorCannotBeAParameter) {
  TinyLlama model;
  model.weights.header().erase("model.norm.weight");
  model.weights.add_raw("model.norm.weight", "I8", {8}, std::string(8, '\1'));
  const Outcome outcome = outcome_of(model);
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"model.norm.weight", "I8", "unsupported"}))
      << outcome.message;
}

TEST_F(HuggingFace, AnExistingDestinationIsReplacedOnlyByAFinishedCheckpoint) {
  out_.write("model.h5", "precious");
  TinyLlama broken;
  broken.weights.header().erase("model.norm.weight");
  EXPECT_EQ(outcome_of(broken).code, ExitCode::bad_input);
  EXPECT_EQ(read_text_file(destination()), "precious");
  EXPECT_EQ(converted(TinyLlama()).model().at("family"), "llama");
}

TEST_F(HuggingFace, SourceAndDestinationMustDiffer) {
  const std::string path = out_.write("same.bin", "content");
  const Outcome outcome = convert_outcome({.source = path, .destination = path});
  EXPECT_EQ(outcome.code, ExitCode::usage);
  EXPECT_EQ(read_text_file(path), "content");
}

TEST_F(HuggingFace, ASafetensorsFileAloneIsAUsageError) {
  const std::string path = folder_.write("model.safetensors", TinyLlama().weights.bytes());
  const Outcome outcome = convert_outcome({.source = path, .destination = destination()});
  EXPECT_EQ(outcome.code, ExitCode::usage);
  EXPECT_TRUE(contains_all(outcome.message, {"folder", "config.json"})) << outcome.message;
}

}  // namespace
}  // namespace gridmill
