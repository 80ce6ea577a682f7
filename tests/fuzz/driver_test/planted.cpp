// A fuzz target with planted bugs: shows that the standalone driver finds them and keeps the input.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.substr(0, 5) == "crash" && text.size() > 5 && text[5] == '"') std::abort();
  if (text == "throw") throw std::runtime_error("planted");
  if (text == "hang") {
    for (volatile bool forever = true; forever;) {
    }
  }
  return 0;
}
