#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace gridmill {

/// Work submitted to one stream runs in order; calls may return before it has run. On a CPU backend
/// a call has finished when it returns.
class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;
  /// Returns when everything submitted so far has run.
  /// @throws what failed on the device meanwhile.
  virtual void synchronize() = 0;
  /// Until end_pass(), a stream may keep back what it is given, to submit a pass of the model
  /// together; synchronize() submits it too.
  /// @param rows  of the pass: a short pass is the one that gains.
  virtual void begin_pass(std::int64_t rows) { static_cast<void>(rows); }
  /// All of the pass has been given, and is submitted.
  virtual void end_pass() {}
};

/// Owns memory of a backend. The address may be meaningless on the host: only a backend's own code
/// follows it.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::byte* data, std::size_t size_bytes, std::function<void(std::byte*)> release)
      : data_(data), size_bytes_(size_bytes), release_(std::move(release)) {}
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)),
        release_(std::exchange(other.release_, nullptr)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr && release_) release_(data_);
  }

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  std::function<void(std::byte*)> release_;
};

/// Row-major matrix of fp32 in a backend's memory, rows `stride` elements apart. Copies share the
/// memory.
template <typename T>
struct BasicDeviceMatrix {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t stride = 0;
  bool operator==(const BasicDeviceMatrix& other) const = default;

  /// Columns [first, first + count).
  [[nodiscard]] BasicDeviceMatrix columns_at(std::int64_t first, std::int64_t count) const {
    return {data + first, rows, count, stride};
  }
  [[nodiscard]] BasicDeviceMatrix rows_at(std::int64_t first, std::int64_t count) const {
    return {data + first * stride, count, columns, stride};
  }
  operator BasicDeviceMatrix<const T>() const {  // NOLINT(google-explicit-constructor)
    return {data, rows, columns, stride};
  }
};
using DeviceMatrix = BasicDeviceMatrix<float>;
using ConstDeviceMatrix = BasicDeviceMatrix<const float>;

/// Vector of fp32 in a backend's memory; empty() where a model has no such parameter.
struct ConstDeviceVector {
  const float* data = nullptr;
  std::int64_t size = 0;
  bool operator==(const ConstDeviceVector& other) const = default;
  [[nodiscard]] bool empty() const { return size == 0; }
};

/// Moves bytes between the ranks of one group (tp or fsdp), in stream order. Only copies: values
/// are never reduced on the way, since the order of a sum is part of the numerics contract.
class Exchange {
 public:
  Exchange() = default;
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  virtual ~Exchange() = default;
  [[nodiscard]] virtual int size() const = 0;
  [[nodiscard]] virtual int rank() const = 0;
  /// Collective over the group. `whole` receives size() parts of `part_bytes` bytes, in rank order.
  virtual void all_gather(Stream& stream, const std::byte* part, std::size_t part_bytes,
                          std::byte* whole) = 0;
  /// The same on host memory, finished on return.
  virtual void all_gather_host(const void* part, std::size_t part_bytes, void* whole) = 0;
  /// Collective: true if any rank's `value` is.
  [[nodiscard]] virtual bool any(bool value) = 0;
};

/// A group of one.
class NoExchange final : public Exchange {
 public:
  [[nodiscard]] int size() const override { return 1; }
  [[nodiscard]] int rank() const override { return 0; }
  /// Never called by code that looks at size() first. @throws InternalError
  void all_gather(Stream& stream, const std::byte* part, std::size_t part_bytes,
                  std::byte* whole) override;
  void all_gather_host(const void* part, std::size_t part_bytes, void* whole) override;
  [[nodiscard]] bool any(bool value) override { return value; }
};

}  // namespace gridmill
