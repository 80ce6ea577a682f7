# Install tree: headers, one static library per module, the binary, and a config file for
# find_package(gridmill), which offers gridmill::gridmill (all modules) and gridmill::<module>.
include(CMakePackageConfigHelpers)

get_property(modules GLOBAL PROPERTY GRIDMILL_MODULES)
list(TRANSFORM modules PREPEND gridmill_ OUTPUT_VARIABLE module_targets)

add_library(gridmill_umbrella INTERFACE)
add_library(gridmill::gridmill ALIAS gridmill_umbrella)
set_target_properties(gridmill_umbrella PROPERTIES EXPORT_NAME gridmill)
target_link_libraries(gridmill_umbrella INTERFACE ${module_targets})

install(TARGETS ${module_targets} gridmill_umbrella EXPORT gridmill-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT library
  FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT library)
install(TARGETS gridmill_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)

set(config_folder "${CMAKE_INSTALL_LIBDIR}/cmake/gridmill")
install(EXPORT gridmill-targets NAMESPACE gridmill:: DESTINATION "${config_folder}" COMPONENT library)
configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/gridmill-config.cmake.in"
  "${PROJECT_BINARY_DIR}/gridmill-config.cmake" INSTALL_DESTINATION "${config_folder}")
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/gridmill-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/gridmill-config.cmake"
              "${PROJECT_BINARY_DIR}/gridmill-config-version.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/GridmillLibraries.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/GridmillFewLibraries.cmake"
              "${CMAKE_CURRENT_LIST_DIR}/GridmillNccl.cmake"
        DESTINATION "${config_folder}" COMPONENT library)
include(GridmillPackage)
