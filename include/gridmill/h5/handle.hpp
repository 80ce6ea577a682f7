#pragma once

#include <cstdint>
#include <utility>

namespace gridmill::h5 {

/// Owns one HDF5 id (`hid_t`). HDF5 is not thread-safe: handles are created, used and destroyed by
/// one thread at a time in the whole process.
class Handle {
 public:
  using Close = int (*)(std::int64_t);

  Handle() = default;
  Handle(std::int64_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { reset(); }

  [[nodiscard]] std::int64_t id() const { return id_; }
  [[nodiscard]] bool valid() const { return id_ >= 0; }
  /// Closes now; a negative value says that HDF5 could not.
  int reset() {
    const std::int64_t id = std::exchange(id_, -1);
    return id >= 0 ? close_(id) : 0;
  }

 private:
  std::int64_t id_ = -1;
  Close close_ = nullptr;
};

}  // namespace gridmill::h5
