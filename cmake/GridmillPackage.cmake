# What a distribution gets beside the library: manual pages and completions (made by the program itself when it is installed),
# jobs, Slurm scripts, the shipped models, the documents; and a Debian package: `cpack -B build/package --config build/release/CPackConfig.cmake`.
set(CPACK_PACKAGE_NAME gridmill)
set(CPACK_PACKAGE_VENDOR gridmill)
set(CPACK_PACKAGE_CONTACT "The gridmill authors <gridmill@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "batch text generator for clusters")
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION
    "A file of prompts becomes a file of completions, on as many nodes as there are.\nThe same bits come out on any grid of MPI ranks, and nothing finished is lost.")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_GENERATOR DEB)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL program)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME gridmill)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The launcher of the MPI that the program is linked with.
set(CPACK_DEBIAN_PACKAGE_DEPENDS openmpi-bin)
if(MPI_C_COMPILER MATCHES mpich)
  set(CPACK_DEBIAN_PACKAGE_DEPENDS mpich)
endif()
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
    WORLD_EXECUTE)

# In the form that Debian reads; what changed stands in CHANGELOG.md.
file(WRITE "${PROJECT_BINARY_DIR}/changelog"
     "gridmill (${PROJECT_VERSION}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n"
     " -- ${CPACK_PACKAGE_CONTACT}  Sun, 29 Nov 2026 12:00:00 +0000\n")

set(share "${CMAKE_INSTALL_DATADIR}/gridmill")
set(documents "${PROJECT_BINARY_DIR}/documents")
install(CODE "
  file(REMOVE_RECURSE \"${documents}\")
  execute_process(COMMAND bash \"${PROJECT_SOURCE_DIR}/packaging/documents.sh\" \"$<TARGET_FILE:gridmill_program>\" \"${documents}\"
                  COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND gzip -9nc \"${PROJECT_BINARY_DIR}/changelog\" OUTPUT_FILE \"${documents}/changelog.gz\"
                  COMMAND_ERROR_IS_FATAL ANY)"
  COMPONENT program)
install(DIRECTORY "${documents}/man" "${documents}/bash-completion" "${documents}/zsh"
        DESTINATION "${CMAKE_INSTALL_DATADIR}" COMPONENT program)
install(FILES "${documents}/changelog.gz" README.md CHANGELOG.md CITATION.cff DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)
# pkg-config: module libraries, in the order that a linker without groups would want, too.
set(libraries "")
foreach(target IN LISTS module_targets)
  list(PREPEND libraries "-l${target}")
endforeach()
list(JOIN libraries " " libraries)
file(RELATIVE_PATH from_pkgconfig "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" /prefix)
configure_file("${PROJECT_SOURCE_DIR}/packaging/gridmill.pc.in" "${PROJECT_BINARY_DIR}/gridmill.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/gridmill.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT library)
install(FILES packaging/copyright DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program)
install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}/docs" COMPONENT program
        PATTERN CMakeLists.txt EXCLUDE)
install(DIRECTORY jobs models DESTINATION "${share}" COMPONENT program PATTERN "*.sh" EXCLUDE)
install(DIRECTORY slurm DESTINATION "${share}" COMPONENT program
        FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
install(PROGRAMS jobs/quickstart.sh jobs/run-until-done.sh DESTINATION "${share}/jobs" COMPONENT program)

include(CPack)
