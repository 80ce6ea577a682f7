#include "gridmill/base/error_in_flight.hpp"

#include <exception>
#include <new>

#include "gridmill/base/format.hpp"

namespace gridmill {

Error error_in_flight() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return ResourceError(
        "out of memory; use fewer ranks per node, fewer slots or a larger machine");
  } catch (const std::exception& error) {
    return InternalError(fmt::format("unexpected exception: {}", error.what()));
  } catch (...) {
    return InternalError("unexpected exception of unknown type");
  }
}

}  // namespace gridmill
