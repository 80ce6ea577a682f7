#include "gridmill/base/thread.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <system_error>

#include "gridmill/base/error.hpp"
#include "gridmill/base/error_in_flight.hpp"
#include "support/few_threads.hpp"

namespace gridmill {
namespace {

TEST(StartThread, RunsTheFunction) {
  int value = 0;
  start_thread("a test", [&value] { value = 7; }).join();
  EXPECT_EQ(value, 7);
}

TEST(StartThread, SaysWhatForThereIsNoThread) {
  EXPECT_EXIT(
      {
        test::allow_threads(0);
        try {
          start_thread("a test", [] {}).join();
        } catch (const Error& error) {
          std::fputs(error.what(), stderr);
          std::exit(static_cast<int>(error.code()));
        }
        std::exit(0);
      },
      ::testing::ExitedWithCode(69), "cannot start a thread for a test: .*; use fewer --threads");
}

TEST(WithoutSignals, BlocksThemAndPutsTheMaskBack) {
  sigset_t now;
  {
    const WithoutSignals none;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
    EXPECT_EQ(sigismember(&now, SIGTERM), 1);
    EXPECT_EQ(sigismember(&now, SIGSEGV), 0);
  }
  ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
  EXPECT_EQ(sigismember(&now, SIGTERM), 0);
}

ExitCode code_of(const std::error_code& code) {
  try {
    throw std::system_error(code, "made up");
  } catch (...) {
    return error_in_flight().code();
  }
}

TEST(ErrorInFlight, ASystemWithoutRoomIsAMissingResourceNotOurBug) {
  EXPECT_EQ(code_of(std::make_error_code(std::errc::resource_unavailable_try_again)),
            ExitCode::missing_resource);
  EXPECT_EQ(code_of(std::make_error_code(std::errc::not_enough_memory)),
            ExitCode::missing_resource);
  EXPECT_EQ(code_of(std::make_error_code(std::errc::too_many_files_open)),
            ExitCode::missing_resource);
  EXPECT_EQ(code_of(std::make_error_code(std::errc::permission_denied)), ExitCode::system);
}

}  // namespace
}  // namespace gridmill
