# cmake -D BUILD_DIR= -D WORK_DIR= -D PROJECT_DIR= -D GENERATOR= -D CXX= -D MPI_CXX= -D SANITIZER= -D EXPECTED= -P install_and_use.cmake
#
# Installs BUILD_DIR below WORK_DIR, checks the tree, configures and builds PROJECT_DIR against it,
# and holds what the example prints to the regular expression EXPECTED.
file(REMOVE_RECURSE "${WORK_DIR}")
set(prefix "${WORK_DIR}/prefix")

function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${what} failed (${status}):\n${output}")
  endif()
endfunction()

run("installing" "${CMAKE_COMMAND}" --install "${BUILD_DIR}" --prefix "${prefix}")
foreach(path IN ITEMS bin/gridmill include/gridmill/base/error.hpp)
  if(NOT EXISTS "${prefix}/${path}")
    message(FATAL_ERROR "${path} was not installed")
  endif()
endforeach()
file(GLOB_RECURSE private RELATIVE "${prefix}" "${prefix}/include/*_detail.hpp")
if(private)
  message(FATAL_ERROR "private headers were installed: ${private}")
endif()
# The installed files must not point back into the build or the sources.
file(GLOB_RECURSE configs "${prefix}/*.cmake")
foreach(config IN LISTS configs)
  file(READ "${config}" text)
  string(FIND "${text}" "${BUILD_DIR}" at)
  if(NOT at EQUAL -1)
    message(FATAL_ERROR "${config} names the build folder")
  endif()
endforeach()

set(flags "")
if(SANITIZER)
  set(flags "-fsanitize=${SANITIZER}")
endif()
run("configuring the example" "${CMAKE_COMMAND}" -S "${PROJECT_DIR}" -B "${WORK_DIR}/build"
    -G "${GENERATOR}" "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${CXX}"
    "-DCMAKE_CXX_FLAGS=${flags}" -DCMAKE_BUILD_TYPE=Release)
run("building the example" "${CMAKE_COMMAND}" --build "${WORK_DIR}/build")
function(expect_of program)
  execute_process(COMMAND "${program}" RESULT_VARIABLE status OUTPUT_VARIABLE output)
  if(NOT status EQUAL 0 OR NOT output MATCHES "${EXPECTED}")
    message(FATAL_ERROR "${program} exited with ${status} and printed '${output}', expected a match of '${EXPECTED}'")
  endif()
endfunction()
expect_of("${WORK_DIR}/build/example")

# Without CMake: by pkg-config and the compiler of MPI.
if(NOT SANITIZER)
  file(GLOB_RECURSE package_file "${prefix}/*/gridmill.pc")
  cmake_path(GET package_file PARENT_PATH package_folder)
  run("building the example by pkg-config" sh -c
      "PKG_CONFIG_PATH='${package_folder}' && export PKG_CONFIG_PATH && '${MPI_CXX}' '${PROJECT_DIR}/main.cpp' -o '${WORK_DIR}/by-pkg-config' $(pkg-config --cflags --libs gridmill)")
  expect_of("${WORK_DIR}/by-pkg-config")
endif()
