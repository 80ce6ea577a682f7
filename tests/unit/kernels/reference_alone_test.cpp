// Linked with the reference backend's files and without the cpu backend's: that it links is half of
// the test.

#include <gtest/gtest.h>

#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/kernels/backend.hpp"

namespace gridmill {
namespace {

TEST(ReferenceAlone, IsTheAutomaticChoice) {
  EXPECT_EQ(make_backend("auto", {})->name(), "reference");
  EXPECT_EQ(make_backend("reference", {})->name(), "reference");
}

TEST(ReferenceAlone, ThereIsNoCpuBackendToFallBackOn) {
  try {
    static_cast<void>(make_backend("cpu", {}));
    FAIL() << "a cpu backend without its files";
  } catch (const ResourceError& error) {
    EXPECT_NE(std::string(error.what()).find("built without it"), std::string::npos);
  }
}

}  // namespace
}  // namespace gridmill
