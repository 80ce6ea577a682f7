#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "gridmill/base/json.hpp"
#include "gridmill/h5/file.hpp"
#include "support/safetensors_writer.hpp"

namespace gridmill::test {

/// An xlstm-jax parameter file for tests: arrays are random by their path.
struct FlaxFile {
  struct Array {
    std::string path;
    std::vector<std::int64_t> shape;
  };
  Json config;
  std::string model_class;
  std::vector<Array> arrays;

  /// Array of `path`, with `shape`. In a model with scanned blocks a leading axis of `layers`.
  void add(const std::string& path, const std::vector<std::int64_t>& shape) {
    arrays.push_back({path, shape});
  }
  void remove(const std::string& path) {
    std::erase_if(arrays, [&](const Array& array) { return array.path == path; });
  }
  void write(const std::string& target) const {
    h5::File file = h5::File::create(target);
    file.write_text_attribute("/", "config", config.dump());
    file.write_text_attribute("/", "model_class", model_class);
    for (const Array& array : arrays) {
      std::vector<std::uint64_t> shape(array.shape.begin(), array.shape.end());
      h5::Dataset dataset =
          file.create_dataset("/params/" + array.path, h5::ElementType::of(h5::Kind::fp32), shape);
      const std::vector<float> elements = values(array);
      dataset.write_rows(0, shape.at(0), std::as_bytes(std::span(elements)));
    }
    file.close();
  }
  [[nodiscard]] static std::vector<float> values(const Array& array) {
    return SafetensorsWriter::random_values(array.path, array.shape);
  }
  /// Values of the array `path`.
  [[nodiscard]] std::vector<float> values(const std::string& path) const {
    for (const Array& array : arrays) {
      if (array.path == path) return values(array);
    }
    throw std::runtime_error("no array " + path);
  }
};

/// Rows and columns of matrix [rows, columns] exchanged.
inline std::vector<float> transposed(const std::vector<float>& matrix, std::size_t rows) {
  const std::size_t columns = matrix.size() / rows;
  std::vector<float> result(matrix.size());
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t column = 0; column < columns; ++column) {
      result[column * rows + row] = matrix[row * columns + column];
    }
  }
  return result;
}
/// Part `index` of `count` equal contiguous parts.
inline std::vector<float> part_of(const std::vector<float>& values, std::size_t count,
                                  std::size_t index) {
  const auto size = static_cast<std::ptrdiff_t>(values.size() / count);
  const auto start = values.begin() + size * static_cast<std::ptrdiff_t>(index);
  return {start, start + size};
}

}  // namespace gridmill::test
