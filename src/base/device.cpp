#include "gridmill/base/device.hpp"

#include <cstring>

#include "gridmill/base/error.hpp"

namespace gridmill {

void NoExchange::all_gather(Stream& /*stream*/, const std::byte* /*part*/, std::size_t /*bytes*/,
                            std::byte* /*whole*/) {
  throw InternalError("a group of one rank has nothing to exchange on the device");
}

void NoExchange::all_gather_host(const void* part, std::size_t part_bytes, void* whole) {
  std::memcpy(whole, part, part_bytes);
}

}  // namespace gridmill
