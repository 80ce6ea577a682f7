// A program of its own that uses the installed library.
#include <cstdio>

#include "gridmill/base/philox.hpp"

int main() {
  const auto words = gridmill::philox4x32({0, 0, 0, 0}, {0, 0});
  std::printf("%08x %.6f\n", words[0], static_cast<double>(gridmill::unit_uniform(words[0])));
}
