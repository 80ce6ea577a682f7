#include "gridmill/h5/file.hpp"
#include "library_detail.hpp"

namespace gridmill::h5 {

namespace detail {

void quiet_library() {
  static const herr_t once = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static_cast<void>(once);
}

namespace {
extern "C" herr_t gridmill_h5_keep_description(unsigned /*depth*/, const H5E_error2_t* error,
                                               void* text) {
  if (error->desc != nullptr && *error->desc != '\0') {
    *static_cast<std::string*>(text) = error->desc;
  }
  return 0;
}
}  // namespace

std::string innermost_reason() {
  std::string text = "no reason given";
  // Downward is from the API call inwards, so the last entry is the innermost.
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, gridmill_h5_keep_description, &text);
  return text;
}

}  // namespace detail

std::string library_version() {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace gridmill::h5
