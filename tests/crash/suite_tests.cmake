# The released program under kills, stops and failing disks; suite/suite.py says what is promised.
add_executable(gridmill_impatient_generate impatient_generate.cpp)
target_link_libraries(gridmill_impatient_generate PRIVATE gridmill_options gridmill::cli)
target_include_directories(gridmill_impatient_generate PRIVATE "${PROJECT_SOURCE_DIR}/src")

if(NOT GRIDMILL_SANITIZER)
  # Everything that can happen, once. tests/crash/run-long.sh goes on to a thousand hits.
  add_test(NAME crash_suite_test
    COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/run-python.sh" "${CMAKE_BINARY_DIR}" suite.py --everything-once
            --log "${CMAKE_CURRENT_BINARY_DIR}/suite-once.jsonl" --afresh)
  set_tests_properties(crash_suite_test PROPERTIES LABELS crash TIMEOUT 900 RUN_SERIAL TRUE)
endif()
