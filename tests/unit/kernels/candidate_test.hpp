#pragma once

#include <gtest/gtest.h>

#include <optional>

#include "gridmill/base/error.hpp"
#include "unit/kernels/candidates.hpp"
#include "unit/kernels/test_device.hpp"

namespace gridmill::testing {

/// A test of one candidate: skipped where this build or machine lacks it, and after each test
/// nothing may have failed behind its back.
class CandidateTest : public ::testing::TestWithParam<Candidate> {
 protected:
  void SetUp() override {
    try {
      device_.emplace(make_candidate(GetParam()));
    } catch (const ResourceError& error) {
      GTEST_SKIP() << "needs " << label(GetParam()) << ": " << error.what();
    }
  }
  void TearDown() override {
    if (device_) device_->check_and_clear();
  }
  TestDevice& device() { return *device_; }

 private:
  std::optional<TestDevice> device_;
};

}  // namespace gridmill::testing
