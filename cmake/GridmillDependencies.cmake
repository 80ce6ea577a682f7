include(GridmillLibraries)

if(GRIDMILL_DEVELOPER)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
endif()
