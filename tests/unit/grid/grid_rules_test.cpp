// What can be checked without MPI_Init; everything else is in tests/mpi.
#include <gtest/gtest.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): setenv is POSIX

#include <new>
#include <stdexcept>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/grid/grid.hpp"
#include "gridmill/grid/launcher.hpp"

namespace gridmill {
namespace {

std::string refusal(GridShape shape, int ranks) {
  try {
    static_cast<void>(resolve_grid(shape, ranks));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(ResolveGrid, TakesEveryShapeThatFits) {
  for (const int tp : {1, 2, 4, 8}) {
    for (int fsdp = 1; fsdp <= 5; ++fsdp) {
      for (int dp = 1; dp <= 3; ++dp) {
        const GridShape shape{dp, fsdp, tp};
        EXPECT_EQ(resolve_grid(shape, shape.ranks()), shape);
        EXPECT_EQ(resolve_grid({0, fsdp, tp}, shape.ranks()), shape);
      }
    }
  }
}

TEST(ResolveGrid, SaysWhichNumbersWouldFit) {
  EXPECT_NE(refusal({.dp = 2, .fsdp = 2, .tp = 1}, 8).find("is 4 ranks, but this job has 8"),
            std::string::npos);
  EXPECT_NE(refusal({.dp = 0, .fsdp = 3, .tp = 1}, 8).find("start a multiple of 3 ranks"),
            std::string::npos);
  EXPECT_NE(refusal({.dp = 1, .fsdp = 1, .tp = 3}, 3).find("1, 2, 4 or 8"), std::string::npos);
  EXPECT_NE(refusal({.dp = 1, .fsdp = 0, .tp = 1}, 1).find("--fsdp"), std::string::npos);
  EXPECT_NE(refusal({.dp = -1, .fsdp = 1, .tp = 1}, 1).find("--dp"), std::string::npos);
}

TEST(ResolveGrid, SizesWhoseProductOverflowsAreRefused) {
  EXPECT_NE(refusal({.dp = 1 << 30, .fsdp = 1 << 30, .tp = 8}, 1), "");
  EXPECT_NE(refusal({.dp = 0, .fsdp = 1 << 30, .tp = 8}, 1), "");
}

/// Sets environment variables for one test.
class LauncherTest : public testing::Test {
 protected:
  LauncherTest() { clear(); }
  ~LauncherTest() override { clear(); }
  static void clear() {
    for (const char* variable :
         {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID",
          "SLURM_STEPID", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PMI_FD"}) {
      unsetenv(variable);
    }
  }
};

TEST_F(LauncherTest, WithoutALauncherOneRankIsFine) {
  EXPECT_FALSE(launcher_tasks().has_value());
  EXPECT_NO_THROW(check_launcher(1, launcher_tasks()));
}

TEST_F(LauncherTest, SeveralTasksOfWhichMpiSeesOneAreRefused) {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    clear();
    setenv(variable, "4", 1);
    EXPECT_NO_THROW(check_launcher(4, launcher_tasks()));
    try {
      check_launcher(1, launcher_tasks());
      ADD_FAILURE() << variable;
    } catch (const UsageError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find("4 tasks"), std::string::npos);
      EXPECT_NE(message.find(variable), std::string::npos);
      EXPECT_NE(message.find("srun --mpi=pmi"), std::string::npos);
    }
  }
}

TEST_F(LauncherTest, MpirunInsideAStepOfItsDaemonsCounts) {
  setenv("SLURM_STEP_NUM_TASKS", "3", 1);  // one daemon a node
  setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
  EXPECT_NO_THROW(check_launcher(1, launcher_tasks()));
}

TEST_F(LauncherTest, HydraInsideAStepOfItsProxiesCounts) {
  setenv("SLURM_STEP_NUM_TASKS", "3", 1);
  setenv("PMI_SIZE", "1", 1);
  EXPECT_NO_THROW(check_launcher(1, launcher_tasks()));
}

TEST_F(LauncherTest, TellsWhichTaskThisIs) {
  setenv("SLURM_STEP_NUM_TASKS", "3", 1);
  setenv("SLURM_PROCID", "2", 1);
  EXPECT_EQ(launcher_tasks()->task, 2);
  setenv("PMI_SIZE", "3", 1);
  setenv("PMI_RANK", "1", 1);
  EXPECT_EQ(launcher_tasks()->task, 1);
}

TEST_F(LauncherTest, AProcessManagerIsSeenByEachOfItsVariables) {
  EXPECT_TRUE(without_process_manager());
  for (const char* variable :
       {"PMIX_RANK", "PMI_RANK", "PMI_SIZE", "PMI_FD", "OMPI_COMM_WORLD_SIZE"}) {
    setenv(variable, "0", 1);
    EXPECT_FALSE(without_process_manager()) << variable;
    unsetenv(variable);
  }
}

TEST_F(LauncherTest, ATaskOfSrunWithoutPmiIsKnownBeforeMpiStarts) {
  EXPECT_FALSE(step_without_pmi());
  setenv("SLURM_STEPID", "0", 1);
  EXPECT_TRUE(step_without_pmi());
  for (const char* variable : {"PMIX_RANK", "PMI_RANK", "PMI_FD", "OMPI_COMM_WORLD_SIZE"}) {
    setenv(variable, "1", 1);
    EXPECT_FALSE(step_without_pmi()) << variable;
    unsetenv(variable);
  }
}

TEST_F(LauncherTest, NonsenseIsIgnored) {
  setenv("SLURM_STEP_NUM_TASKS", "many", 1);
  EXPECT_FALSE(launcher_tasks().has_value());
}

TEST(ErrorInFlight, KeepsOursAndNamesForeignOnes) {
  const auto code_of = [](const auto& exception) {
    try {
      throw exception;
    } catch (...) {
      return error_in_flight().code();
    }
  };
  EXPECT_EQ(code_of(OutputError("exists")), ExitCode::output_refused);
  EXPECT_EQ(code_of(std::bad_alloc()), ExitCode::missing_resource);
  EXPECT_EQ(code_of(std::runtime_error("odd")), ExitCode::internal);
  EXPECT_EQ(code_of(42), ExitCode::internal);
}

}  // namespace
}  // namespace gridmill
