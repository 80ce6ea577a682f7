#pragma once

// The home of fmt: std::format is missing from the oldest compiler we support (g++ 12).
#include <fmt/format.h>
