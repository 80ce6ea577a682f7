#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

using h5::ElementType;
using h5::Kind;
using test::TemporaryFolder;
using Shape = std::vector<std::uint64_t>;
using Tokens = std::vector<TokenId>;

template <typename T>
void put(h5::File& file, const std::string& name, Kind kind, const Shape& shape,
         const std::vector<T>& values) {
  file.create_dataset(name, ElementType::of(kind), shape)
      .write_rows(0, shape[0], std::as_bytes(std::span(values)));
}

/// A prompt file of its own for one test.
class H5PromptsTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<PromptSource> open() const {
    return PromptSource::open(path_, PromptIndex::build(path_));
  }
  [[nodiscard]] static Tokens tokens_of(const PromptSource& prompts, PromptId prompt) {
    return std::get<Tokens>(prompts.read(prompt));
  }
  [[nodiscard]] static std::string reason_of(const PromptSource& prompts, PromptId prompt) {
    return std::get<BadPrompt>(prompts.read(prompt)).reason;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("p.h5");
  h5::File file_ = h5::File::create(path_);
};

TEST_F(H5PromptsTest, WithoutMaskEveryTokenIsGiven) {
  put<std::int32_t>(file_, "/prefix_tokens", Kind::i32, {2, 3}, {1, 2, 3, 4, 5, 6});
  file_.close();
  const auto prompts = open();
  EXPECT_EQ(prompts->count(), 2U);
  EXPECT_EQ(tokens_of(*prompts, 0), (Tokens{1, 2, 3}));
  EXPECT_EQ(tokens_of(*prompts, 1), (Tokens{4, 5, 6}));
}

TEST_F(H5PromptsTest, AVectorIsOneTokenAPrompt) {
  put<std::int32_t>(file_, "/prefix_tokens", Kind::i32, {2}, {7, 8});
  put<std::uint8_t>(file_, "/prefix_mask", Kind::boolean, {2, 1}, {1, 0});
  file_.close();
  const auto prompts = open();
  EXPECT_EQ(tokens_of(*prompts, 0), Tokens{7});
  EXPECT_EQ(tokens_of(*prompts, 1), Tokens{});
}

TEST_F(H5PromptsTest, AMaskOfOnesThenZerosCutsThePrompt) {
  put<std::int32_t>(file_, "/prefix_tokens", Kind::i32, {3, 3}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
  put<std::uint8_t>(file_, "/prefix_mask", Kind::u8, {3, 3}, {1, 1, 0, 0, 0, 0, 1, 1, 1});
  file_.close();
  const auto prompts = open();
  EXPECT_EQ(tokens_of(*prompts, 0), (Tokens{1, 2}));
  EXPECT_EQ(tokens_of(*prompts, 1), Tokens{});
  EXPECT_EQ(tokens_of(*prompts, 2), (Tokens{7, 8, 9}));
}

TEST_F(H5PromptsTest, AMaskWithHolesIsABadPromptButAFineMatrix) {
  put<std::int32_t>(file_, "/prefix_tokens", Kind::i32, {2, 3}, {1, 2, 3, 4, 5, 6});
  put<std::uint8_t>(file_, "/prefix_mask", Kind::boolean, {2, 3}, {1, 0, 1, 0, 1, 1});
  file_.close();
  const auto prompts = open();
  EXPECT_EQ(reason_of(*prompts, 0),
            "prefix_mask of prompt 0 has holes: expected ones, then zeros (whole batches with "
            "--lockstep take holes)");
  EXPECT_NE(reason_of(*prompts, 1).find("prompt 1"), std::string::npos);
  const PrefixMatrix matrix = prompts->prefix_rows(0, 2);
  EXPECT_EQ(matrix.columns, 3U);
  EXPECT_EQ(matrix.tokens, (Tokens{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(matrix.given, (std::vector<std::uint8_t>{1, 0, 1, 0, 1, 1}));
  EXPECT_EQ(prompts->prefix_rows(1, 1).tokens, (Tokens{4, 5, 6}));
}

TEST_F(H5PromptsTest, WiderIntegersAreTakenIfTheyAreTokenIds) {
  put<std::int64_t>(file_, "/prefix_tokens", Kind::i64, {2, 2}, {1, 2, 3, std::int64_t{1} << 40});
  file_.close();
  const auto prompts = open();
  EXPECT_EQ(tokens_of(*prompts, 0), (Tokens{1, 2}));
  EXPECT_EQ(reason_of(*prompts, 1), "1099511627776 in prefix_tokens of prompt 1 is no token id");
  EXPECT_THROW(static_cast<void>(prompts->prefix_rows(0, 2)), FormatError);
}

TEST_F(H5PromptsTest, WrongShapesAndTypesAreFormatErrors) {
  file_.close();
  EXPECT_THROW(static_cast<void>(PromptIndex::build(path_)), FormatError);  // no prefix_tokens
  const std::vector<std::pair<Shape, Kind>> bad = {
      {{2, 2, 1}, Kind::i32}, {{}, Kind::i32}, {{2, 2}, Kind::fp32}};
  for (const auto& [shape, kind] : bad) {
    h5::File file = h5::File::create(path_);
    static_cast<void>(file.create_dataset("/prefix_tokens", ElementType::of(kind), shape));
    file.close();
    EXPECT_THROW(static_cast<void>(PromptIndex::build(path_)), FormatError);
  }
  h5::File file = h5::File::create(path_);
  static_cast<void>(file.create_dataset("/prefix_tokens", ElementType::of(Kind::i32), {2, 2}));
  static_cast<void>(file.create_dataset("/prefix_mask", ElementType::of(Kind::u8), {2, 3}));
  file.close();
  EXPECT_THROW(static_cast<void>(PromptIndex::build(path_)), FormatError);
}

TEST_F(H5PromptsTest, WhatIsNotHdf5IsAFormatError) {
  file_.close();
  folder_.write("p.h5", "no");
  EXPECT_THROW(static_cast<void>(PromptIndex::build(path_)), FormatError);
}

}  // namespace
}  // namespace gridmill
