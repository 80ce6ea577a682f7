#include "convert/model_folder.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;

using convert_detail::ModelFolder;
using test::contains_all;
using test::convert_outcome;
using test::Outcome;
using test::TemporaryFolder;
using test::TinyLlama;

class HostileFolder : public testing::Test {
 protected:
  HostileFolder() { model_.write(folder_); }
  Outcome outcome() {
    testing::internal::CaptureStderr();
    const Outcome result =
        convert_outcome({.source = folder_.path().string(), .destination = out_.file("model.h5")});
    log_ = testing::internal::GetCapturedStderr();
    return result;
  }
  void expect_refused(const std::string& file) {
    const Outcome result = outcome();
    EXPECT_EQ(result.code, ExitCode::bad_input) << file;
    EXPECT_TRUE(contains_all(result.message, {file})) << result.message;
  }
  TinyLlama model_;
  TemporaryFolder folder_;
  TemporaryFolder out_;
  std::string log_;
};

TEST_F(HostileFolder, ALinkOutOfTheFolderIsRefusedWhateverItsName) {
  const std::string secret = out_.write("secret", "{}");
  for (const char* name :
       {"chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json"}) {
    // The last three are looked at beside a tokenizer.
    if (std::string(name) != "tokenizer.json") {
      fs::copy_file(GRIDMILL_MODELS_DIR "/tiny-xlstm-shakespeare/tokenizer.json",
                    folder_.file("tokenizer.json"));
    }
    fs::create_symlink(secret, folder_.file(name));
    expect_refused(name);
    fs::remove(folder_.file(name));
    fs::remove(folder_.file("tokenizer.json"));
  }
  fs::rename(folder_.file("model.safetensors"), out_.file("weights"));
  fs::create_symlink(out_.file("weights"), folder_.file("model.safetensors"));
  expect_refused("model.safetensors");
}

TEST_F(HostileFolder, ALinkWithinTheFolderIsRead) {
  fs::rename(folder_.file("model.safetensors"), folder_.file("weights.safetensors"));
  fs::create_symlink("weights.safetensors", folder_.file("model.safetensors"));
  EXPECT_EQ(outcome().code, ExitCode::ok);
}

TEST_F(HostileFolder, ALinkToNothingIsAMissingInput) {
  fs::create_symlink("nowhere", folder_.file("tokenizer.json"));
  const Outcome result = outcome();
  EXPECT_EQ(result.code, ExitCode::missing_input);
  EXPECT_TRUE(contains_all(result.message, {"tokenizer.json", "link"})) << result.message;
}

TEST_F(HostileFolder, AFifoDoesNotHang) {
  for (const char* name : {"tokenizer.json", "chat_template.jinja", "model.safetensors"}) {
    fs::remove(folder_.file(name));
    ASSERT_EQ(::mkfifo(folder_.file(name).c_str(), 0666), 0);
    expect_refused(name);
    fs::remove(folder_.file(name));
  }
}

TEST_F(HostileFolder, AdaptersOtherWeightsAndUnknownFilesAreNamed) {
  folder_.write("adapter_config.json", R"({"peft_type": "LORA"})");
  folder_.write("adapter_model.safetensors", "");
  folder_.write("pytorch_model.bin", "pickle");
  folder_.write("consolidated.00.safetensors", "");
  folder_.write("surprise.json", "{}");
  folder_.write("README.md", "");
  folder_.write("training_args.bin", "");
  EXPECT_EQ(outcome().code, ExitCode::ok);
  EXPECT_TRUE(contains_all(log_, {"adapter_config.json", "merge", "pytorch_model.bin",
                                  "consolidated.00.safetensors", "surprise.json"}))
      << log_;
  EXPECT_EQ(log_.find("README"), std::string::npos) << log_;
  EXPECT_EQ(log_.find("training_args"), std::string::npos) << log_;
}

TEST_F(HostileFolder, AnAdapterAloneSaysSo) {
  folder_.write("adapter_config.json", "{}");
  fs::remove(folder_.file("model.safetensors"));
  expect_refused("adapter_config.json");
  fs::remove(folder_.file("config.json"));
  expect_refused("adapter_config.json");
}

TEST_F(HostileFolder, PickledWeightsAreNamed) {
  fs::rename(folder_.file("model.safetensors"), folder_.file("pytorch_model-00001-of-00002.bin"));
  expect_refused("pytorch_model-00001-of-00002.bin");
}

TEST_F(HostileFolder, SamplingSettingsAreNamedUnlessNeutral) {
  folder_.write("generation_config.json",
                R"({"do_sample": true, "temperature": 0.6, "top_p": 1.0, "top_k": 20,
                    "repetition_penalty": 1.0, "no_repeat_ngram_size": 0})");
  EXPECT_EQ(outcome().code, ExitCode::ok);
  EXPECT_TRUE(contains_all(log_, {"generation_config.json", "temperature 0.6", "top_k 20"}))
      << log_;
  EXPECT_EQ(log_.find("top_p"), std::string::npos) << log_;
  EXPECT_EQ(log_.find("repetition_penalty"), std::string::npos) << log_;
}

TEST(ModelFolder, TheLinksOfTheHubsCacheAreRead) {
  const TemporaryFolder cache;
  const std::string content = cache.write("models--a--b/blobs/0a1b", "content");
  fs::create_directories(cache.file("models--a--b/snapshots/c0ffee"));
  fs::create_symlink("../../blobs/0a1b", cache.file("models--a--b/snapshots/c0ffee/config.json"));
  ModelFolder folder(cache.file("models--a--b/snapshots/c0ffee"));
  EXPECT_EQ(folder.read("config.json"), "content");
  EXPECT_TRUE(folder.was_read("config.json"));
  // A blob that is itself a link leads out.
  const std::string secret = cache.write("secret", "x");
  fs::create_symlink(secret, cache.file("models--a--b/blobs/0a1c"));
  fs::create_symlink("../../blobs/0a1c", cache.file("models--a--b/snapshots/c0ffee/evil"));
  EXPECT_THROW((void)ModelFolder(folder.path()).read("evil"), FormatError);
  // No other place of the cache is one of blobs.
  fs::create_symlink("../../../secret", cache.file("models--a--b/snapshots/c0ffee/worse"));
  EXPECT_THROW((void)ModelFolder(folder.path()).read("worse"), FormatError);
}

TEST(ModelFolder, TheFolderItselfMayBeALink) {
  const TemporaryFolder place;
  place.write("real/config.json", "content");
  fs::create_symlink("real", place.file("link"));
  EXPECT_EQ(ModelFolder(place.file("link")).read("config.json"), "content");
}

}  // namespace
}  // namespace gridmill
