#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/model/model.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

using test::llama_config;
using test::xlstm_config;
using test::xlstm_older_config;

/// Message of the FormatError that `config` causes; empty if there is none.
std::string refusal(const Json& config) {
  try {
    static_cast<void>(make_model(config));
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

Json with(Json config, const std::string& field, const Json& value) {
  config[field] = value;
  return config;
}

Json without(Json config, const std::string& field) {
  config.erase(field);
  return config;
}

bool mentions(const std::string& text, const std::string& word) {
  return text.find(word) != std::string::npos;
}

TEST(ModelConfig, EveryTinyModelIsAccepted) {
  for (const test::TinyModel& tiny : test::tiny_models()) {
    EXPECT_EQ(refusal(tiny.config), "") << tiny.name;
  }
}

TEST(ModelConfig, InfoRepeatsWhatCallersNeed) {
  const auto llama = make_model(llama_config());
  EXPECT_EQ(llama->info().family, "llama");
  EXPECT_EQ(llama->info().vocab_size, 300);
  EXPECT_EQ(llama->info().model_limit, 128);
  EXPECT_EQ(llama->info().bos_id, 1);
  EXPECT_EQ(llama->info().eod_ids, std::vector<TokenId>{2});
  EXPECT_FALSE(llama->info().recurrent);
  const auto xlstm = make_model(xlstm_config());
  EXPECT_TRUE(xlstm->info().recurrent);
  EXPECT_EQ(xlstm->info().model_limit, 0);
  EXPECT_EQ(xlstm->info().bos_id, -1);
  EXPECT_TRUE(xlstm->info().eod_ids.empty());
}

TEST(ModelConfig, AnUnknownFamilyIsUnsupported) {
  const std::string message = refusal(with(llama_config(), "family", "mamba"));
  EXPECT_TRUE(mentions(message, "unsupported")) << message;
  EXPECT_TRUE(mentions(message, "mamba")) << message;
}

TEST(ModelConfig, AnUnknownFieldIsRefusedByName) {
  for (const Json& config : {llama_config(), xlstm_config()}) {
    EXPECT_TRUE(mentions(refusal(with(config, "mixture_of_experts", 8)), "mixture_of_experts"));
  }
  Json nested = llama_config();
  nested["rotary"]["beta"] = 3;
  EXPECT_TRUE(mentions(refusal(nested), "beta"));
}

TEST(ModelConfig, ARotaryFieldThatItsTypeDoesNotUseIsRefused) {
  Json config = llama_config();
  config["rotary"]["factor"] = 4.0;
  EXPECT_TRUE(mentions(refusal(config), "factor"));
}

TEST(ModelConfig, AMissingFieldIsNamed) {
  for (const char* field : {"vocab_size", "hidden_size", "layers", "heads", "norm_eps", "kv_heads",
                            "head_dim", "intermediate_size", "rotary"}) {
    EXPECT_TRUE(mentions(refusal(without(llama_config(), field)), field)) << field;
  }
  for (const char* field : {"qk_dim", "v_dim"}) {
    EXPECT_TRUE(mentions(refusal(without(xlstm_config(), field)), field)) << field;
  }
}

TEST(ModelConfig, AFieldOfTheWrongTypeIsRefused) {
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "layers", "two")), "layers"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "layers", 2.5)), "layers"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "tied", 1)), "tied"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "eod_ids", 2)), "eod_ids"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "rotary", "default")), "rotary"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "norm_eps", nullptr)), "norm_eps"));
  EXPECT_TRUE(mentions(refusal(Json::array()), "object"));
}

TEST(ModelConfig, SizesThatContradictEachOtherAreRefused) {
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "kv_heads", 3)), "kv_heads"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "head_dim", 5)), "head_dim"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "windows", {4})), "windows"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "bos_id", 300)), "bos_id"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "vocab_size", 0)), "vocab_size"));
  EXPECT_TRUE(mentions(refusal(with(xlstm_config(), "qk_dim", 25)), "qk_dim"));
  EXPECT_TRUE(mentions(refusal(with(xlstm_config(), "ffn", "none")), "ffn_size"));
  EXPECT_TRUE(mentions(refusal(without(xlstm_config(), "ffn_size")), "ffn_size"));
  EXPECT_TRUE(mentions(refusal(with(xlstm_older_config(), "inner_size", 64)), "inner_size"));
  EXPECT_TRUE(mentions(refusal(with(xlstm_older_config(), "qkv_block_size", 5)), "qkv_block_size"));
}

TEST(ModelConfig, SizesBeyondReasonAreRefusedNotClamped) {
  for (const char* field : {"layers", "heads", "hidden_size", "kv_heads", "head_dim"}) {
    EXPECT_TRUE(mentions(refusal(with(llama_config(), field, 2'000'000)), field)) << field;
  }
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "vocab_size", 1L << 40)), "vocab_size"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "eod_ids", {1L << 40})), "eod_ids"));
  EXPECT_TRUE(mentions(refusal(with(llama_config(), "layers", -1)), "layers"));
  EXPECT_TRUE(
      mentions(refusal(with(llama_config(), "max_length", 18446744073709551615UL)), "max_length"));
}

TEST(ModelConfig, KindsThatWeDoNotRunAreUnsupported) {
  Json rotary = llama_config();
  rotary["rotary"]["type"] = "yarn";
  const Json cases[] = {rotary,
                        with(llama_config(), "activation", "gelu_tanh"),
                        with(llama_config(), "generation_attention", "none"),
                        with(xlstm_config(), "layer_type", "slstm"),
                        with(xlstm_config(), "activation", "mish"),
                        with(xlstm_config(), "norm", "batch"),
                        with(xlstm_config(), "head_norm", "batch"),
                        with(xlstm_config(), "ffn", "moe"),
                        xlstm_older_config("embedding"),
                        with(xlstm_older_config(), "bias", true)};
  for (const Json& config : cases) {
    EXPECT_TRUE(mentions(refusal(config), "unsupported")) << config.dump() << refusal(config);
  }
}

TEST(ModelConfig, FieldsOfTheOlderLayerBelongToItOnly) {
  EXPECT_TRUE(mentions(refusal(with(xlstm_config(), "inner_size", 32)), "inner_size"));
}

}  // namespace
}  // namespace gridmill
