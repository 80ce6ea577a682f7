#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace gridmill {

/// Non-owning, row-major view of host memory with `Rank` extents.
template <typename T, std::size_t Rank>
class TensorView {
 public:
  TensorView() = default;
  TensorView(T* data, const std::array<std::int64_t, Rank>& extents)
      : data_(data), extents_(extents) {}
  /// A view of mutable elements is a view of const ones.
  operator TensorView<const T, Rank>() const {  // NOLINT(google-explicit-constructor)
    return {data_, extents_};
  }

  [[nodiscard]] T* data() const { return data_; }
  [[nodiscard]] std::int64_t extent(std::size_t axis) const { return extents_[axis]; }
  [[nodiscard]] std::int64_t size() const {
    std::int64_t product = 1;
    for (const std::int64_t extent : extents_) product *= extent;
    return product;
  }
  [[nodiscard]] std::span<T> flat() const { return {data_, static_cast<std::size_t>(size())}; }

  template <typename... Index>
  requires(sizeof...(Index) == Rank) T& operator()(Index... index) const {
    const std::array<std::int64_t, Rank> position{static_cast<std::int64_t>(index)...};
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < Rank; ++axis) {
      offset = offset * extents_[axis] + position[axis];
    }
    return data_[offset];
  }
  /// Row `index` of a matrix.
  [[nodiscard]] std::span<T> row(std::int64_t index) const requires(Rank == 2) {
    return {data_ + index * extents_[1], static_cast<std::size_t>(extents_[1])};
  }

 private:
  T* data_ = nullptr;
  std::array<std::int64_t, Rank> extents_{};
};

}  // namespace gridmill
