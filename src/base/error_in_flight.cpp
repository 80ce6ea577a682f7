#include "gridmill/base/error_in_flight.hpp"

#include <exception>
#include <new>
#include <string>
#include <system_error>

#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill {

Error error_in_flight() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const Json::exception& error) {
    // Values come from files, whose owners have put another kind of value there than is expected.
    return FormatError(
        fmt::format("a JSON value is of another kind than expected: {}", error.what()));
  } catch (const std::bad_alloc&) {
    return ResourceError(
        "out of memory; use fewer ranks per node, fewer slots or a larger machine");
  } catch (const std::system_error& error) {
    // Threads that cannot be made, and files that cannot be looked at.
    const std::error_code& code = error.code();
    const bool no_room =
        code == std::errc::resource_unavailable_try_again || code == std::errc::not_enough_memory ||
        code == std::errc::too_many_files_open || code == std::errc::too_many_files_open_in_system;
    const std::string message = fmt::format("the system refused a call: {}", error.what());
    if (no_room) return ResourceError(message);
    return SystemError(message);
  } catch (const std::exception& error) {
    return InternalError(fmt::format("unexpected exception: {}", error.what()));
  } catch (...) {
    return InternalError("unexpected exception of unknown type");
  }
}

}  // namespace gridmill
