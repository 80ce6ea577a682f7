// LIBS: base
// parse_json either gives a value that survives printing and reading, or throws a FormatError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fuzz/json_mutator.hpp"
#include "fuzz/mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  using namespace gridmill::fuzz;  // NOLINT(google-build-using-namespace): its drivers' business
  return hand_over(mutated_json(text_of(data, size), seed), data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  gridmill::Json value;
  try {
    value = gridmill::parse_json(text, "input");
  } catch (const gridmill::FormatError&) {
    return 0;
  }
  if (gridmill::parse_json(value.dump(), "printed") != value) std::abort();
  return 0;
}
