# gridmill_add_module(<name> [SOURCES ...] [DEPS <module> ...] [LIBS <target> ...] [PRIVATE_LIBS <target> ...])
#
# Adds the static library gridmill_<name> (alias gridmill::<name>) with the public headers of
# include/gridmill/<name>. DEPS repeats the module's line in the deps block of docs/architecture.md;
# tests/architecture holds both to each other.
add_library(gridmill_options INTERFACE)
target_compile_features(gridmill_options INTERFACE cxx_std_20)
# No fused or reassociated arithmetic behind our back: the bits are a promise (docs/numerics.md).
# (nvcc has words of its own for it: src/kernels/cuda/sources.cmake.)
target_compile_options(gridmill_options INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off>)
target_compile_definitions(gridmill_options INTERFACE
  "GRIDMILL_ASSERT_LEVEL_$<UPPER_CASE:${GRIDMILL_ASSERT_LEVEL}>=1")
if(GRIDMILL_DEVELOPER)
  target_compile_options(gridmill_options INTERFACE
    "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion;-Werror>")
  # g++ guesses these from the flow of optimised code. What newer versions guess differs (g++ 14 doubts moves of a
  # std::variant), so they are shown and stop no build.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    target_compile_options(gridmill_options INTERFACE
      "$<$<COMPILE_LANGUAGE:CXX>:-Wno-error=maybe-uninitialized;-Wno-error=stringop-overflow;-Wno-error=array-bounds;-Wno-error=restrict;-Wno-error=dangling-reference>")
  endif()
endif()
if(GRIDMILL_SANITIZER)
  target_compile_options(gridmill_options INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${GRIDMILL_SANITIZER}>
    $<$<COMPILE_LANGUAGE:C,CXX>:-fno-omit-frame-pointer>
    $<$<COMPILE_LANGUAGE:C,CXX>:-fno-sanitize-recover=all>
    # g++ 12 sees uninitialised members in std::regex when it instruments it (GCC bug 105562).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(gridmill_options INTERFACE -fsanitize=${GRIDMILL_SANITIZER})
endif()

set_property(GLOBAL PROPERTY GRIDMILL_MODULES "")

function(gridmill_add_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;PRIVATE_LIBS" ${ARGN})
  set(target gridmill_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  add_library(gridmill::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} LINKER_LANGUAGE CXX)
  file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/gridmill/${name}/*.hpp")
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include"
                 FILES ${headers})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:gridmill_options> ${ARG_PRIVATE_LIBS})
  target_link_libraries(${target} PUBLIC ${ARG_LIBS})
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${target} PUBLIC gridmill_${dep})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY GRIDMILL_MODULES ${name})
  set_property(TARGET ${target} PROPERTY GRIDMILL_DEPS "${ARG_DEPS}")
endfunction()
