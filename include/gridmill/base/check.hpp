#pragma once

#include <string>

#include "gridmill/base/error.hpp"

// Assertions are for our own mistakes only; what a user can cause is an Error of another kind.
// GRIDMILL_ASSERT_LEVEL (CMake) chooses what is compiled in: none < light < heavy < collective.

#define GRIDMILL_ASSERT_IMPL(condition, message)                                               \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      throw ::gridmill::InternalError(std::string(__FILE__) + ":" + std::to_string(__LINE__) + \
                                      ": " #condition ": " + (message));                       \
    }                                                                                          \
  } while (false)
#define GRIDMILL_ASSERT_NOTHING() \
  do {                            \
  } while (false)

#if defined(GRIDMILL_ASSERT_LEVEL_NONE)
#define GRIDMILL_ASSERT(condition, message) GRIDMILL_ASSERT_NOTHING()
#else
/// Cheap checks, also in release builds: once a call, never once an element.
#define GRIDMILL_ASSERT(condition, message) GRIDMILL_ASSERT_IMPL(condition, message)
#endif

#if defined(GRIDMILL_ASSERT_LEVEL_HEAVY) || defined(GRIDMILL_ASSERT_LEVEL_COLLECTIVE)
/// Checks that may cost as much as the work itself.
#define GRIDMILL_ASSERT_HEAVY(condition, message) GRIDMILL_ASSERT_IMPL(condition, message)
#else
#define GRIDMILL_ASSERT_HEAVY(condition, message) GRIDMILL_ASSERT_NOTHING()
#endif
