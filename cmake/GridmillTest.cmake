# gridmill_add_test(<name> LABEL <label> SOURCES ... LIBS <target> ... [TIMEOUT s])
#   One GoogleTest binary, one ctest entry.
# gridmill_add_mpi_test(<name> RANKS 1 2 4 [LABEL mpi] SOURCES ... LIBS ... [TIMEOUT s])
#   The same binary under the launcher of this build's MPI (<build>/tests/launch), one ctest entry a rank count; its
#   sources bring their own main.
# Target tests_<label> builds the binaries of a label.
# Tests find data through GRIDMILL_TEST_DATA (tests/data), GRIDMILL_SOURCE_DIR, GRIDMILL_MODELS_DIR
# (models/) and GRIDMILL_GOLDEN_DIR (may be empty: skip loudly with GTEST_SKIP).
set(GRIDMILL_TEST_DEFINITIONS
  GRIDMILL_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data"
  GRIDMILL_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
  GRIDMILL_MODELS_DIR="${PROJECT_SOURCE_DIR}/models"
  GRIDMILL_GOLDEN_DIR="${GRIDMILL_GOLDEN_DIR}")

function(_gridmill_test_binary name label sources libs)
  add_executable(${name} ${sources})
  if(NOT TARGET tests_${label})
    add_custom_target(tests_${label})
  endif()
  add_dependencies(tests_${label} ${name})
  target_link_libraries(${name} PRIVATE gridmill_options ${libs})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(${name} PRIVATE ${GRIDMILL_TEST_DEFINITIONS})
endfunction()

# Sanitizers slow a test down several times.
function(_gridmill_sanitized name timeout)
  if(GRIDMILL_SANITIZER)
    math(EXPR timeout "5 * ${timeout}")
    set_property(TEST ${name} PROPERTY TIMEOUT ${timeout})
  endif()
endfunction()

function(gridmill_add_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LIBS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  _gridmill_test_binary(${name} "${ARG_LABEL}" "${ARG_SOURCES}" "${ARG_LIBS};GTest::gtest;GTest::gtest_main")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT})
  _gridmill_sanitized(${name} ${ARG_TIMEOUT})
endfunction()

function(gridmill_add_mpi_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LIBS;RANKS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL mpi)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  _gridmill_test_binary(${name} "${ARG_LABEL}" "${ARG_SOURCES}" "${ARG_LIBS};GTest::gtest")
  foreach(ranks IN LISTS ARG_RANKS)
    add_test(NAME ${name}_${ranks}
      COMMAND "${GRIDMILL_LAUNCH}" -n ${ranks} $<TARGET_FILE:${name}>)
    set_tests_properties(${name}_${ranks} PROPERTIES LABELS "${ARG_LABEL}" TIMEOUT ${ARG_TIMEOUT}
      PROCESSORS 2)
    _gridmill_sanitized(${name}_${ranks} ${ARG_TIMEOUT})
    if(GRIDMILL_SANITIZER)
      # MPI_Finalize leaves memory of its plugins behind, whose code is gone by then: no name to suppress it by.
      set_property(TEST ${name}_${ranks} APPEND PROPERTY ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
    endif()
  endforeach()
endfunction()

# gridmill_opens_damaged_files(<test>)
#   What HDF5 loses on its way out of files that it cannot read is not ours. No other test is spared.
function(gridmill_opens_damaged_files name)
  if(GRIDMILL_SANITIZER)
    set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
      "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/leaks.supp:print_suppressions=0")
  endif()
endfunction()

# gridmill_read_libs(<file> <variable>): targets named by the first line of a fuzz target or
# benchmark, "// LIBS: base tokenizer".
function(gridmill_read_libs file variable)
  file(STRINGS "${file}" first LIMIT_COUNT 1)
  if(NOT first MATCHES "^// LIBS: ([a-z0-9_ ]+)$")
    message(FATAL_ERROR "${file}: the first line is '${first}', expected '// LIBS: <module> ...'")
  endif()
  string(REPLACE " " ";" libs "${CMAKE_MATCH_1}")
  list(TRANSFORM libs PREPEND gridmill::)
  set(${variable} "${libs}" PARENT_SCOPE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
endfunction()
