// LIBS: convert
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "convert/safetensors_detail.hpp"
#include "fuzz/mutator.hpp"
#include "fuzz/safetensors_mutator.hpp"
#include "gridmill/base/error.hpp"

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  using namespace gridmill::fuzz;  // NOLINT(google-build-using-namespace): its drivers' business
  return hand_over(mutated_safetensors(text_of(data, size), dice_of(seed)), data, max_size);
}

/// A whole safetensors file: the length of the header, the header, the data. Whatever the bytes,
/// the header is refused with FormatError or every tensor that it promises lies inside the data.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using gridmill::convert_detail::element_count;
  using gridmill::convert_detail::parse_safetensors_header;
  std::uint64_t header_bytes = 0;
  if (size < sizeof header_bytes) return 0;
  std::memcpy(&header_bytes, data, sizeof header_bytes);
  const std::uint64_t rest = size - sizeof header_bytes;
  if (header_bytes > rest) header_bytes = rest;
  const std::string_view header(reinterpret_cast<const char*>(data) + sizeof header_bytes,
                                static_cast<std::size_t>(header_bytes));
  const std::uint64_t data_bytes = rest - header_bytes;
  try {
    for (const auto& entry : parse_safetensors_header(header, data_bytes, "fuzz.safetensors")) {
      const std::int64_t count = element_count(entry.shape);
      const bool inside = entry.begin <= entry.end && entry.end <= data_bytes;
      const bool fits = count >= 0 && static_cast<std::uint64_t>(count) <= entry.end - entry.begin;
      if (!inside || !fits) std::abort();
    }
  } catch (const gridmill::FormatError&) {
    return 0;  // what a bad file deserves
  }
  return 0;
}
