# The launcher of tests: <build>/tests/launch, made of tests/support/launch.sh.in for the MPI of this build. Flags of a
# launcher stand there and nowhere else.
include(CheckSymbolExists)
set(CMAKE_REQUIRED_LIBRARIES MPI::MPI_C)
check_symbol_exists(OPEN_MPI mpi.h GRIDMILL_MPI_IS_OPEN_MPI)
unset(CMAKE_REQUIRED_LIBRARIES)
if(GRIDMILL_MPI_IS_OPEN_MPI)
  set(GRIDMILL_MPI_KIND open-mpi)
else()
  set(GRIDMILL_MPI_KIND hydra)
endif()

# Debian has several MPIs side by side: mpicc.mpich belongs to mpiexec.mpich.
get_filename_component(suffix "${MPI_C_COMPILER}" LAST_EXT)
if(suffix MATCHES "^\\.(mpich|openmpi)$")
  find_program(GRIDMILL_MPIEXEC NAMES "mpiexec${suffix}" REQUIRED)
else()
  set(GRIDMILL_MPIEXEC "${MPIEXEC_EXECUTABLE}")
endif()

# Ranks that a foreign launcher starts each see a job of one rank.
execute_process(COMMAND "${GRIDMILL_MPIEXEC}" --version OUTPUT_VARIABLE launcher_version ERROR_QUIET)
if(launcher_version MATCHES "Open MPI|OpenRTE|PRTE")
  set(starts_open_mpi 1)
else()
  set(starts_open_mpi 0)
endif()
if((GRIDMILL_MPI_IS_OPEN_MPI AND NOT starts_open_mpi) OR (starts_open_mpi AND NOT GRIDMILL_MPI_IS_OPEN_MPI))
  string(REGEX REPLACE "\n.*" "" launcher_version "${launcher_version}")
  message(FATAL_ERROR "${GRIDMILL_MPIEXEC} (${launcher_version}) is not the launcher of the MPI of ${MPI_C_COMPILER}; "
                      "name it with -DMPIEXEC_EXECUTABLE=")
endif()
set(GRIDMILL_LAUNCH "${CMAKE_BINARY_DIR}/tests/launch")
configure_file("${PROJECT_SOURCE_DIR}/tests/support/launch.sh.in" "${GRIDMILL_LAUNCH}" @ONLY
               FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
