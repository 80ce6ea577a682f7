# The result store under a shim that kills or fails each of its calls in turn.
add_library(gridmill_store_shim MODULE store_shim.c)
target_link_libraries(gridmill_store_shim PRIVATE ${CMAKE_DL_LIBS} Threads::Threads)

add_executable(gridmill_store_writer store_writer.cpp)
target_link_libraries(gridmill_store_writer PRIVATE gridmill_options gridmill::results)
target_include_directories(gridmill_store_writer PRIVATE "${PROJECT_SOURCE_DIR}/tests")

# A sanitizer's runtime wants to come first in a process, so does the shim.
if(NOT GRIDMILL_SANITIZER)
  gridmill_add_test(store_crash_test LABEL crash SOURCES store_crash_test.cpp LIBS gridmill::results
    TIMEOUT 600)
  if(TARGET store_crash_test)
    target_compile_definitions(store_crash_test PRIVATE
      GRIDMILL_STORE_SHIM="$<TARGET_FILE:gridmill_store_shim>"
      GRIDMILL_STORE_WRITER="$<TARGET_FILE:gridmill_store_writer>")
    add_dependencies(store_crash_test gridmill_store_shim gridmill_store_writer)
    if(IS_DIRECTORY /dev/shm)  # a kill leaves the page cache as it is: memory is disk enough
      set_tests_properties(store_crash_test PROPERTIES ENVIRONMENT "TMPDIR=/dev/shm")
    endif()
  endif()
endif()
