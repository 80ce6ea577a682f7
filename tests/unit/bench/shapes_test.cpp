#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "gridmill/bench/bench.hpp"
#include "gridmill/model/model.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

TEST(Shapes, EveryNameIsAModelThatWeRun) {
  ASSERT_EQ(bench_shapes().size(), 7U);
  for (const std::string& name : bench_shapes()) {
    EXPECT_NO_THROW(static_cast<void>(make_model(model_of_shape(name, {})))) << name;
  }
}

TEST(Shapes, OurOwnConfigurationIsTakenAsItIs) {
  const test::TemporaryFolder folder;
  folder.write("config.json", R"({"family": "xlstm", "layers": 5})");
  EXPECT_EQ(model_of_shape(folder.file("config.json"), {}).at("layers"), 5);
}

TEST(Shapes, AForeignConfigurationIsTranslated) {
  const test::TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "llama", "num_hidden_layers": 2})");
  const auto translate = [](const Json& config, const std::string& path) {
    EXPECT_TRUE(path.ends_with("config.json"));
    return Json{{"family", config.at("model_type")}};
  };
  EXPECT_EQ(model_of_shape(folder.file("config.json"), translate).at("family"), "llama");
}

TEST(Shapes, AForeignConfigurationIsRefusedWhereThereAreNoConverters) {
  const test::TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "llama"})");
  EXPECT_THROW(static_cast<void>(model_of_shape(folder.file("config.json"), {})), UsageError);
}

TEST(Shapes, AnUnknownNameListsTheKnownOnes) {
  try {
    static_cast<void>(model_of_shape("llama-2b", {}));
    FAIL() << "no error";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("llama-110m"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gridmill
