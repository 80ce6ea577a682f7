#pragma once

#include <cstdint>
#include <string>

#include "gridmill/h5/element_type.hpp"
#include "gridmill/h5/handle.hpp"

namespace gridmill::h5::detail {

/// The HDF5 type that stores `type`, little-endian.
/// @throws InternalError for `other` and for text without bytes.
Handle make_type(const ElementType& type);

struct Recognised {
  ElementType type;
  bool as_stored = false;  ///< its bytes are those of make_type(type)
};
/// The element type of the HDF5 type `id`.
Recognised recognise(std::int64_t id);

}  // namespace gridmill::h5::detail
