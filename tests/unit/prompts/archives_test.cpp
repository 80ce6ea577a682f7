// Prompts in .gz and .zst files.

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/compression/packer.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

using test::TemporaryFolder;

std::string packed(const std::string& name, const std::string& text) {
  std::string bytes;
  Packer packer(compression_of(name), [&](std::span<const std::byte> part) {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  });
  packer.write(text);
  packer.finish();
  return bytes;
}

std::unique_ptr<PromptSource> open(const std::string& path) {
  return PromptSource::open(path, PromptIndex::build(path));
}

std::string text_of(const PromptSource& prompts, PromptId prompt) {
  return std::get<std::string>(prompts.read(prompt));
}

class PackedPrompts : public ::testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] std::string write(const std::string& kind, const std::string& text) const {
    const std::string name = "p." + kind + "." + GetParam();
    return folder_.write(name, packed(name, text));
  }
  TemporaryFolder folder_;
};

TEST_P(PackedPrompts, AreWhatThePlainFileHolds) {
  const std::string text = "\xEF\xBB\xBF{\"prompt\": \"a\"}\r\n\n{\"prompt\": \"b\"}\n\n \n";
  const auto plain = open(folder_.write("plain.jsonl", text));
  const auto prompts = open(write("jsonl", text));
  ASSERT_EQ(prompts->count(), 3U);
  ASSERT_EQ(plain->count(), 3U);
  EXPECT_EQ(text_of(*prompts, 0), "a");
  EXPECT_EQ(std::get<BadPrompt>(prompts->read(1)).reason, "line 2 is not a JSON object");
  EXPECT_EQ(text_of(*prompts, 2), "b");
  EXPECT_EQ(prompts->record(2), plain->record(2));
  EXPECT_EQ(open(write("jsonl", ""))->count(), 0U);
  EXPECT_EQ(text_of(*open(write("txt", "one\r\ntwo")), 1), "two");
}

TEST_P(PackedPrompts, AreHashedAsTheyLieOnDisk) {
  const std::string path = write("txt", "a\nb\n");
  EXPECT_EQ(PromptIndex::build(path).content_hash, content_hash_of_file(path));
}

TEST_P(PackedPrompts, CanBeReadInAnyOrder) {
  std::string text;
  const PromptId count = 60'000;  // 12 MiB: more than is kept
  const std::string filling(200, 'x');
  for (PromptId i = 0; i < count; ++i) text += filling + std::to_string(i) + "\n";
  const auto prompts = open(write("txt", text));
  ASSERT_EQ(prompts->count(), count);
  for (const PromptId i : {count - 1, PromptId{0}, count / 2, count / 2 - 1, PromptId{7}}) {
    EXPECT_EQ(text_of(*prompts, i), filling + std::to_string(i));
  }
  for (PromptId i = 0; i < count; i += 997) {
    EXPECT_EQ(text_of(*prompts, i), filling + std::to_string(i));
  }
}

TEST_P(PackedPrompts, OfManyPartsAreEnteredAtTheNearestPart) {
  std::string bytes;
  const std::string name = "parts.txt." + GetParam();
  const std::string filling(3 << 19, 'y');
  for (int i = 0; i < 8; ++i) bytes += packed(name, filling + std::to_string(i) + "\n");
  const std::string path = folder_.write(name, bytes);
  const PromptIndex index = PromptIndex::build(path);
  EXPECT_GE(index.unpack_starts.size(), 7U);
  const auto prompts = PromptSource::open(path, index);
  for (const PromptId i : {PromptId{7}, PromptId{2}, PromptId{5}, PromptId{0}}) {
    EXPECT_EQ(text_of(*prompts, i), filling + std::to_string(i));
  }
}

TEST_P(PackedPrompts, ThatAreCutShortOrDamagedAreRefused) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += std::to_string(i * 7919) + "\n";
  const std::string name = "p.txt." + GetParam();
  std::string bytes = packed(name, text);
  const auto error_of = [&](const std::string& content) -> std::string {
    try {
      static_cast<void>(PromptIndex::build(folder_.write(name, content)));
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of(bytes), "");
  EXPECT_NE(error_of(bytes.substr(0, bytes.size() - 1)).find("is cut short"), std::string::npos);
  EXPECT_NE(error_of("").find("is cut short"), std::string::npos);
  EXPECT_NE(error_of("plain text\n").find("is damaged"), std::string::npos);
  bytes[bytes.size() / 3] = static_cast<char>(bytes[bytes.size() / 3] ^ 4);
  EXPECT_NE(error_of(bytes), "");
}

TEST_P(PackedPrompts, WithALineBeyondTheBoundAreRefused) {
  const std::string path = write("txt", std::string((64 << 20) + (2 << 20), 'z'));
  try {
    static_cast<void>(PromptIndex::build(path));
    FAIL() << "a line of 66 MiB was taken";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("line 1 has more than 64 MiB"), std::string::npos);
  }
}

TEST_P(PackedPrompts, OfLinesOutOfProportionAreRefused) {
  const std::string path = write("txt", std::string(std::size_t{18} << 20, '\n'));
  try {
    static_cast<void>(PromptIndex::build(path));
    FAIL() << "18 million lines of nothing were taken";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("--samples-per-prompt"), std::string::npos);
  }
}

TEST_P(PackedPrompts, AreNeverHdf5) {
  EXPECT_THROW(static_cast<void>(prompt_format_of("p.h5." + GetParam())), UsageError);
  EXPECT_EQ(prompt_format_of("p.jsonl." + GetParam()), PromptFormat::jsonl);
}

INSTANTIATE_TEST_SUITE_P(Kinds, PackedPrompts, ::testing::Values("gz", "zst"),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace gridmill
