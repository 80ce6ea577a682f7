#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace gridmill::test {

/// Lets this process start `more` threads and no further one; for a process that a test has made
/// for it (EXPECT_EXIT). The limit of processes counts those of a user and does not bind root, so
/// root becomes a user that has none.
inline void allow_threads(rlim_t more) {
  if (::geteuid() == 0) {
    constexpr uid_t kNobodyElse = 1'234'567;
    if (::setresuid(kNobodyElse, kNobodyElse, kNobodyElse) != 0) std::abort();
  } else if (more != 0) {
    std::fputs("a limit other than 0 needs root\n", stderr);
    std::abort();
  }
  const rlim_t most = ::geteuid() == 1'234'567 ? 1 + more : 0;
  const rlimit limit{most, most};
  if (::setrlimit(RLIMIT_NPROC, &limit) != 0) std::abort();
}

}  // namespace gridmill::test
