#include <gtest/gtest.h>

#include "golden/plain_from_hf.hpp"

namespace gridmill {
namespace {

TEST(PlainGoldenFiles, AreWhatTheirGoldenCasesHold) {
  for (const test::PlainCase& one : test::plain_cases()) {
    const std::string path = std::string(GRIDMILL_TEST_DATA) + "/golden/plain/" + one.name + ".bin";
    EXPECT_TRUE(test::read_bytes(path) == test::to_plain(test::plain_from_hf(one)))
        << path << "; write it again with tests/data/golden/plain/make.sh";
  }
}

}  // namespace
}  // namespace gridmill
