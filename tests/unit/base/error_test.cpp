#include "gridmill/base/error.hpp"

#include <gtest/gtest.h>

#include <string>
#include <type_traits>

namespace gridmill {
namespace {

TEST(Error, EachKindCarriesTheExitCodeOfItsReader) {
  EXPECT_EQ(static_cast<int>(UsageError("").code()), 64);
  EXPECT_EQ(static_cast<int>(FormatError("").code()), 65);
  EXPECT_EQ(static_cast<int>(MissingInputError("").code()), 66);
  EXPECT_EQ(static_cast<int>(ResourceError("").code()), 69);
  EXPECT_EQ(static_cast<int>(InternalError("").code()), 70);
  EXPECT_EQ(static_cast<int>(SystemError("").code()), 71);
  EXPECT_EQ(static_cast<int>(OutputError("").code()), 73);
  EXPECT_EQ(static_cast<int>(IoError("").code()), 74);
}

TEST(Error, ExitCodesWithoutAKindHaveTheirNumbers) {
  EXPECT_EQ(static_cast<int>(ExitCode::ok), 0);
  EXPECT_EQ(static_cast<int>(ExitCode::failed_rows), 1);
  EXPECT_EQ(static_cast<int>(ExitCode::stopped_early), 75);
}

TEST(Error, LayersAddContextFromTheInsideOut) {
  FormatError error("model.h5 has no /parameters");
  error.add_context("loading shard 2 of 4");
  error.add_context("opening the model");
  EXPECT_STREQ(
      error.what(),
      "model.h5 has no /parameters (while loading shard 2 of 4) (while opening the model)");
}

TEST(Error, ContextAddedOnTheWayKeepsTheKind) {
  try {
    try {
      throw IoError("no space left");
    } catch (Error& error) {
      error.add_context("writing row 7");
      throw;
    }
  } catch (const IoError& error) {
    EXPECT_STREQ(error.what(), "no space left (while writing row 7)");
    return;
  }
  FAIL() << "the kind was lost";
}

TEST(Error, IsCaughtAsAStandardException) {
  EXPECT_TRUE((std::is_base_of_v<std::runtime_error, Error>));
}

}  // namespace
}  // namespace gridmill
