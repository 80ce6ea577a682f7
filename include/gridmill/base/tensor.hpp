#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "gridmill/base/tensor_view.hpp"

namespace gridmill {

/// Owns a row-major array of host memory.
template <typename T, std::size_t Rank>
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(const std::array<std::int64_t, Rank>& extents, T fill = T{})
      : extents_(extents),
        data_(static_cast<std::size_t>(TensorView<T, Rank>(nullptr, extents).size()), fill) {}

  [[nodiscard]] TensorView<T, Rank> view() { return {data_.data(), extents_}; }
  [[nodiscard]] TensorView<const T, Rank> view() const { return {data_.data(), extents_}; }
  [[nodiscard]] std::int64_t extent(std::size_t axis) const { return extents_[axis]; }
  [[nodiscard]] std::vector<T>& flat() { return data_; }
  [[nodiscard]] const std::vector<T>& flat() const { return data_; }
  template <typename... Index>
  T& operator()(Index... index) {
    return view()(index...);
  }
  template <typename... Index>
  const T& operator()(Index... index) const {
    return view()(index...);
  }

 private:
  std::array<std::int64_t, Rank> extents_{};
  std::vector<T> data_;
};

}  // namespace gridmill
