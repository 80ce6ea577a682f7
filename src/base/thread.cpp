#include "gridmill/base/thread.hpp"

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

void throw_no_thread(std::string_view purpose, const std::system_error& error) {
  throw ResourceError(
      fmt::format("cannot start a thread for {}: {}; use fewer --threads, or raise the limit of "
                  "processes (ulimit -u, or pids.max of the control group)",
                  purpose, error.code().message()));
}

WithoutSignals::WithoutSignals() {
  sigset_t all;
  ::sigfillset(&all);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) ::sigdelset(&all, own);
  ::pthread_sigmask(SIG_SETMASK, &all, &before_);
}

WithoutSignals::~WithoutSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace gridmill
