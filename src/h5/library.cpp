#include <algorithm>
#include <charconv>
#include <string_view>

#include "gridmill/base/file.hpp"
#include "gridmill/h5/file.hpp"
#include "library_detail.hpp"

namespace gridmill::h5 {

namespace detail {

void quiet_library() {
  static const bool once = [] {
    // A file whose closing failed (disk full) stays half alive in HDF5 1.10, and the library's
    // cleanup at exit would touch it and crash. Files are closed by their owners; no cleanup is
    // needed.
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    return true;
  }();
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

extern "C" herr_t gridmill_h5_look_for_no_memory(unsigned /*depth*/, const H5E_error2_t* error,
                                                 void* found) {
  if (error->maj_num == H5E_RESOURCE &&
      (error->min_num == H5E_NOSPACE || error->min_num == H5E_CANTALLOC)) {
    *static_cast<bool*>(found) = true;
  }
  return 0;
}

/// The reason of a failed system call alone, without the addresses and times around it; other texts
/// lose their line ends.
std::string in_one_line(std::string text) {
  constexpr std::string_view kCause = "error message = '";
  const std::size_t begin = text.find(kCause);
  constexpr std::string_view kNumber = "errno = ";
  const std::size_t number = text.find(kNumber);
  if (number != std::string::npos) {
    int code = 0;
    std::from_chars(text.data() + number + kNumber.size(), text.data() + text.size(), code);
    if (code != 0) return system_reason(code);
  }
  if (begin != std::string::npos) {
    const std::size_t end = text.find('\'', begin + kCause.size());
    return text.substr(begin + kCause.size(), end - begin - kCause.size());
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}
}  // namespace

std::string innermost_reason() {
  std::string text = "no reason given";
  // Downward is from the API call inwards, so the last entry is the innermost.
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, gridmill_h5_keep_description, &text);
  return in_one_line(text);
}

bool ran_out_of_memory() {
  bool found = false;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, gridmill_h5_look_for_no_memory, &found);
  return found;
}

}  // namespace detail

std::string library_version() {
  detail::quiet_library();
  unsigned major = 0;
  unsigned minor = 0;
  unsigned release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace gridmill::h5
