#include "gridmill/base/check.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gridmill {
namespace {

TEST(Check, ABrokenInvariantIsAnInternalErrorThatSaysWhere) {
#if defined(GRIDMILL_ASSERT_LEVEL_NONE)
  EXPECT_NO_THROW(GRIDMILL_ASSERT(1 > 2, "one is not more than two"));
#else
  try {
    GRIDMILL_ASSERT(1 > 2, "one is not more than two");
    FAIL() << "nothing was thrown";
  } catch (const InternalError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("check_test.cpp:"), std::string::npos) << message;
    EXPECT_NE(message.find("1 > 2: one is not more than two"), std::string::npos) << message;
    EXPECT_EQ(error.code(), ExitCode::internal);
  }
#endif
}

TEST(Check, AnInvariantThatHoldsIsSilent) {
  EXPECT_NO_THROW(GRIDMILL_ASSERT(2 > 1, "order of numbers"));
  EXPECT_NO_THROW(GRIDMILL_ASSERT_HEAVY(2 > 1, "order of numbers"));
}

TEST(Check, HeavyChecksAreCompiledInOnRequestOnly) {
  int evaluations = 0;
  const auto costly = [&evaluations] {
    ++evaluations;
    return true;
  };
  GRIDMILL_ASSERT_HEAVY(costly(), "counts its evaluations");
#if defined(GRIDMILL_ASSERT_LEVEL_HEAVY) || defined(GRIDMILL_ASSERT_LEVEL_COLLECTIVE)
  EXPECT_EQ(evaluations, 1);
#else
  static_cast<void>(costly);
  EXPECT_EQ(evaluations, 0);
#endif
}

}  // namespace
}  // namespace gridmill
