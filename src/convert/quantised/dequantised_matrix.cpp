#include "convert/quantised/dequantised_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "convert/file_tensor_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

const ForeignTensor& typed_part(ForeignTensors& tensors, const std::string& name,
                                const std::string& types) {
  const ForeignTensor* found = tensors.find(name);
  if (found == nullptr) {
    throw FormatError(fmt::format("tensor {} is missing beside the others of its weight", name));
  }
  const std::string& type = found->type();
  const bool is_float = types == "float" && (type == "F32" || type == "F16" || type == "BF16");
  if (!is_float && (" " + types + " ").find(" " + type + " ") == std::string::npos) {
    fail_tensor(*found, fmt::format("has elements of type {}, expected {}", type, types));
  }
  tensors.mark_used(name);
  return *found;
}

}  // namespace

void fail_tensor(const ForeignTensor& tensor, const std::string& problem) {
  throw FormatError(fmt::format("{}: tensor {} {}", tensor.file(), tensor.name(), problem));
}

DequantisedMatrix::DequantisedMatrix(std::string name, std::string file, std::int64_t rows,
                                     std::int64_t columns, std::string type)
    : ForeignTensor(std::move(name), std::move(file), {rows, columns}, std::move(type)) {}

void DequantisedMatrix::read(std::int64_t first, std::span<float> out) const {
  const std::int64_t width = columns();
  std::vector<float> row;
  while (!out.empty()) {
    const std::int64_t inside = first % width;
    const auto left = static_cast<std::int64_t>(out.size());
    std::int64_t count = left / width * width;  // whole rows
    if (inside == 0 && count > 0) {
      read_rows(first / width, out.first(static_cast<std::size_t>(count)));
    } else {
      count = std::min(left, width - inside);
      row.resize(static_cast<std::size_t>(width));
      read_rows(first / width, row);
      std::copy_n(row.begin() + inside, count, out.begin());
    }
    out = out.subspan(static_cast<std::size_t>(count));
    first += count;
  }
}

const ForeignTensor& part_of(ForeignTensors& tensors, const std::string& name,
                             const std::string& types, const Extents& shape) {
  const ForeignTensor& part = typed_part(tensors, name, types);
  if (part.shape() != shape) {
    fail_tensor(part, fmt::format("is {}, expected {} from the others of its weight",
                                  to_text(part.shape()), to_text(shape)));
  }
  return part;
}

const ForeignTensor& part_of(ForeignTensors& tensors, const std::string& name,
                             const std::string& types, std::size_t axes) {
  // Larger than any matrix; keeps products with a few dozens within 64 bits.
  constexpr std::int64_t kLargest = std::int64_t{1} << 31;
  const ForeignTensor& part = typed_part(tensors, name, types);
  const bool good = std::all_of(part.shape().begin(), part.shape().end(), [](std::int64_t extent) {
    return extent >= 1 && extent <= kLargest;
  });
  if (part.shape().size() != axes || !good) {
    fail_tensor(part, fmt::format("is {}, expected {} axes of 1 to {}", to_text(part.shape()), axes,
                                  kLargest));
  }
  return part;
}

void read_scales(const ForeignTensor& scales, std::int64_t first, std::span<float> out) {
  scales.read(first, out);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!std::isfinite(out[i])) {
      fail_tensor(scales, fmt::format("holds a scale that is no finite number, element {}",
                                      first + static_cast<std::int64_t>(i)));
    }
  }
}

void read_stored(const ForeignTensor& tensor, std::uint64_t first, std::span<std::byte> out) {
  const auto* stored = dynamic_cast<const FileTensor*>(&tensor);
  if (stored == nullptr) fail_tensor(tensor, "lies in no file as it is");
  stored->read_bytes(first, out);
}

void read_words(const ForeignTensor& tensor, std::int64_t first, std::span<std::uint32_t> out) {
  read_stored(tensor, static_cast<std::uint64_t>(first) * sizeof(std::uint32_t),
              std::as_writable_bytes(out));
}

}  // namespace gridmill::convert_detail
