#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/convert/convert.hpp"
#include "gridmill/h5/file.hpp"
#include "support/memory_parameters.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::test {

/// A foreign model on its way through convert: our configuration and fp32 parameters.
struct GoldenModel {
  Json config;
  Tensors tensors;
};

inline GoldenModel convert_model_once(const std::string& source,
                                      const std::string& tokenizer = "") {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "model.h5").string();
  static_cast<void>(convert({.source = source, .destination = path, .tokenizer = tokenizer}));
  const CheckpointFile file = CheckpointFile::open(path);
  GoldenModel model{.config = file.model(), .tensors = {}};
  for (const StoredParameter& parameter : file.parameters()) {
    const bool matrix = parameter.spec.shape.size() == 2;
    const IndexRange rows{0, parameter.spec.shape[0]};
    const IndexRange columns{0, matrix ? parameter.spec.shape[1] : 1};
    const auto count = static_cast<std::size_t>(rows.count * columns.count);
    std::vector<std::byte> bytes(count * size_of(parameter.dtype));
    file.read(parameter, rows, columns, bytes);
    std::vector<float>& values = model.tensors[parameter.spec.name];
    values.resize(count);
    if (parameter.dtype == DType::fp32) {
      std::memcpy(values.data(), bytes.data(), bytes.size());
    } else {
      for (std::size_t i = 0; i < count; ++i) {
        Bf16 value = 0;
        std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
        values[i] = bf16_to_fp32(value);
      }
    }
  }
  return model;
}

/// Converted once in a process, however many tests ask.
inline const GoldenModel& convert_model(const std::string& source,
                                        const std::string& tokenizer = "") {
  static std::map<std::string, GoldenModel> converted;
  const auto found = converted.find(source);
  if (found != converted.end()) return found->second;
  return converted[source] = convert_model_once(source, tokenizer);
}

/// A recorded array with its shape.
struct Recorded {
  std::vector<std::uint64_t> shape;
  std::vector<double> values;
};

inline std::optional<Recorded> read_recorded(const h5::File& file, const std::string& path) {
  if (!file.exists(path)) return std::nullopt;
  const h5::Dataset dataset = file.dataset(path);
  return Recorded{dataset.shape(), dataset.read_as<double>()};
}

/// Largest |found - expected|; infinite if the sizes differ.
template <typename T>
double largest_difference(const std::vector<float>& found, const std::vector<T>& expected) {
  if (found.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double difference =
        std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
    if (!(difference <= largest)) largest = difference;  // a NaN stays
  }
  return largest;
}

}  // namespace gridmill::test
