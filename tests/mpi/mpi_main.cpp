// The main function of tests that run under mpirun: every rank runs every test; failures name their
// rank; the exit code is the worst of all ranks.
#include <gtest/gtest.h>

#include <cstdio>
#include <exception>
#include <string>

#include "gridmill/base/log.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace {

/// Says which rank failed, as soon as it does: a hang may follow.
class FailuresOfRank final : public testing::EmptyTestEventListener {
 public:
  explicit FailuresOfRank(int rank) : rank_(rank) {}
  void OnTestStart(const testing::TestInfo& test) override {
    test_ = std::string(test.test_suite_name()) + "." + test.name();
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::fprintf(stderr, "[rank %d] %s\n%s:%d: %s\n", rank_, test_.c_str(), result.file_name(),
                 result.line_number(), result.message());
  }

 private:
  int rank_;
  std::string test_;  // asking GoogleTest for it in OnTestPartResult deadlocks (1.12)
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  try {
    const gridmill::MpiSession session;
    gridmill::log::configure(gridmill::log::Level::warn, session.rank());
    testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
    listeners.Append(new FailuresOfRank(session.rank()));
    if (session.rank() != 0) delete listeners.Release(listeners.default_result_printer());
    const bool failed = RUN_ALL_TESTS() != 0;
    const auto world = gridmill::Communicator::duplicate(MPI_COMM_WORLD);
    return gridmill::any_rank(world, failed) ? 1 : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
