#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>

#include "fuzz/json_mutator.hpp"
#include "fuzz/mutator.hpp"

namespace gridmill::fuzz {

/// One change of a safetensors file: in the JSON of its header, whose length stays right; in a
/// tensor's type or offsets; in the length alone; or in the data.
inline std::string mutated_safetensors(const std::string& file, const Dice& dice) {
  std::uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes) return file;
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  if (header_bytes > file.size() - sizeof header_bytes) return file;
  std::string header = file.substr(sizeof header_bytes, header_bytes);
  std::string data = file.substr(sizeof header_bytes + header_bytes);
  const std::size_t kind = dice(8);
  if (kind == 0) {
    static constexpr std::array<std::uint64_t, 6> kLengths = {
        0, 1, 100'000'001, std::uint64_t{1} << 48, std::uint64_t{1} << 63, ~std::uint64_t{0}};
    header_bytes = dice(2) == 0 ? one_of(kLengths, dice) : header_bytes + dice(9) - 4;
  } else if (kind == 1) {
    change_bytes(data, dice);
  } else if (Json parsed = Json::parse(header, nullptr, false);
             kind < 5 && parsed.is_object() && !parsed.empty()) {
    auto tensor = parsed.begin();
    std::advance(tensor, static_cast<std::ptrdiff_t>(dice(parsed.size())));
    static constexpr std::array<const char*, 10> kTypes = {"F32", "BF16", "F16", "F64",     "I8",
                                                           "U8",  "BOOL", "I64", "F8_E4M3", "F4"};
    if (!tensor->is_object()) return file;
    if (kind == 2) {
      (*tensor)["dtype"] = one_of(kTypes, dice);
    } else {
      // Offsets and extents close to right ones: overlapping, backwards, beyond the file.
      Json& list = (*tensor)[kind == 3 ? "data_offsets" : "shape"];
      if (list.is_array() && !list.empty()) {
        Json& number = list[dice(list.size())];
        static constexpr std::array<std::int64_t, 7> kSteps = {
            -1, 1, -4, 4, 1 << 20, std::int64_t{1} << 40, std::int64_t{1} << 62};
        if (number.is_number_integer()) {
          number = static_cast<std::int64_t>(number.get<std::uint64_t>() +
                                             static_cast<std::uint64_t>(one_of(kSteps, dice)));
        }
      }
    }
    header = parsed.dump(-1, ' ', false, Json::error_handler_t::replace);
    header_bytes = header.size();
  } else {
    header = mutated_json(header, static_cast<std::uint32_t>(dice(1U << 31)));
    header_bytes = header.size();
  }
  std::string out(sizeof header_bytes, '\0');
  std::memcpy(out.data(), &header_bytes, sizeof header_bytes);
  return out + header + data;
}

}  // namespace gridmill::fuzz
