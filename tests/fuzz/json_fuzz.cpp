// LIBS: base
// parse_json either gives a value that survives printing and reading, or throws a FormatError.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"

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
