# The same from a folder that tests/gpu/carry.sh has filled, for a machine with nothing but CMake and
# compilers: include/ and lib/. {fmt} and xxHash are used as headers alone.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

foreach(needed IN ITEMS include/fmt/format.h include/nlohmann/json.hpp include/xxhash.h include/gtest/gtest.h
                        include/boost/program_options.hpp lib/libboost_program_options.a lib/libgtest.a
                        lib/libgtest_main.a)
  if(NOT EXISTS "${GRIDMILL_CARRIED_DIR}/${needed}")
    message(FATAL_ERROR "GRIDMILL_CARRIED_DIR is '${GRIDMILL_CARRIED_DIR}', which lacks ${needed}; "
                        "fill it with tests/gpu/carry.sh where gridmill's packages are installed")
  endif()
endforeach()

# gridmill_carried(<target> [<library file>] [<definition> ...])
function(gridmill_carried target library)
  if(library)
    add_library(${target} STATIC IMPORTED GLOBAL)
    set_target_properties(${target} PROPERTIES IMPORTED_LOCATION "${GRIDMILL_CARRIED_DIR}/lib/${library}")
  else()
    add_library(${target} INTERFACE IMPORTED GLOBAL)
  endif()
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${GRIDMILL_CARRIED_DIR}/include"
                        INTERFACE_COMPILE_DEFINITIONS "${ARGN}")
endfunction()

gridmill_carried(fmt::fmt "" FMT_HEADER_ONLY=1)
gridmill_carried(nlohmann_json::nlohmann_json "")
gridmill_carried(PkgConfig::XXHASH "" XXH_INLINE_ALL)
gridmill_carried(Boost::program_options libboost_program_options.a)
gridmill_carried(GTest::gtest libgtest.a)
gridmill_carried(GTest::gtest_main libgtest_main.a)
set_property(TARGET GTest::gtest APPEND PROPERTY INTERFACE_LINK_LIBRARIES Threads::Threads)
set_property(TARGET GTest::gtest_main APPEND PROPERTY INTERFACE_LINK_LIBRARIES GTest::gtest)

if(GRIDMILL_CUDA)
  find_package(CUDAToolkit REQUIRED)
  include("${CMAKE_CURRENT_LIST_DIR}/GridmillNccl.cmake")
endif()
