#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::test {

/// Content of a safetensors file for tests, built tensor by tensor. The header can be bent before
/// the bytes are taken.
class SafetensorsWriter {
 public:
  using Shape = std::vector<std::int64_t>;

  /// Values as F32.
  SafetensorsWriter& add(const std::string& name, const Shape& shape,
                         const std::vector<float>& values) {
    return add_raw(name, "F32", shape, bytes_of(values));
  }
  /// Values rounded to BF16.
  SafetensorsWriter& add_bf16(const std::string& name, const Shape& shape,
                              const std::vector<float>& values) {
    std::vector<Bf16> rounded;
    for (const float value : values) rounded.push_back(fp32_to_bf16(value));
    return add_raw(name, "BF16", shape, bytes_of(rounded));
  }
  /// Bytes of any type, as they are.
  SafetensorsWriter& add_raw(const std::string& name, const std::string& dtype, const Shape& shape,
                             const std::string& bytes) {
    header_[name] = {{"dtype", dtype},
                     {"shape", shape},
                     {"data_offsets", {data_.size(), data_.size() + bytes.size()}}};
    data_ += bytes;
    return *this;
  }
  /// Normally distributed values, reproducible by `name`. @return the values
  std::vector<float> add_random(const std::string& name, const Shape& shape) {
    std::vector<float> values = random_values(name, shape);
    add(name, shape, values);
    return values;
  }

  [[nodiscard]] Json& header() { return header_; }
  [[nodiscard]] std::string& data() { return data_; }
  [[nodiscard]] std::string bytes() const { return bytes_with_header(header_.dump(), data_); }

  [[nodiscard]] static std::string bytes_with_header(const std::string& header,
                                                     const std::string& data) {
    const std::uint64_t length = header.size();
    std::string file(sizeof length, '\0');
    std::memcpy(file.data(), &length, sizeof length);
    return file + header + data;
  }
  [[nodiscard]] static std::vector<float> random_values(std::string_view name, const Shape& shape) {
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    std::uint32_t seed = 2166136261U;  // FNV-1a: equal on every machine, unlike std::hash
    for (const char letter : name) seed = (seed ^ static_cast<unsigned char>(letter)) * 16777619U;
    std::mt19937 generator(seed);
    std::vector<float> values(count);
    for (float& value : values) {
      value = static_cast<float>(generator() >> 8) * 0x1p-24F - 0.5F;
    }
    return values;
  }
  template <typename T>
  [[nodiscard]] static std::string bytes_of(const std::vector<T>& values) {
    std::string bytes(values.size() * sizeof(T), '\0');
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }

 private:
  Json header_ = Json::object();
  std::string data_;
};

}  // namespace gridmill::test
