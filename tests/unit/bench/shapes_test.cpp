#include <gtest/gtest.h>

#include "bench/shapes_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/bench/bench.hpp"
#include "gridmill/model/model.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::bench_detail {
namespace {

TEST(Shapes, EveryNameIsAModelThatWeRun) {
  ASSERT_EQ(bench_shapes().size(), 5U);
  for (const std::string& name : bench_shapes()) {
    EXPECT_NO_THROW(static_cast<void>(make_model(model_of_shape(name)))) << name;
  }
}

TEST(Shapes, AHuggingFaceConfigurationIsTranslated) {
  const test::TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
    "vocab_size": 100, "max_position_embeddings": 77, "rms_norm_eps": 1e-5})");
  const auto model = make_model(model_of_shape(folder.file("config.json")));
  EXPECT_EQ(model->info().family, "llama");
  EXPECT_EQ(model->info().model_limit, 77);
}

TEST(Shapes, AnUnknownNameListsTheKnownOnes) {
  try {
    static_cast<void>(model_of_shape("llama-2b"));
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("llama-110m"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gridmill::bench_detail
