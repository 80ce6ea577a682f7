#include "unit/kernels/product_cases.hpp"

#include "gridmill/base/format.hpp"

namespace gridmill::testing {

namespace {

/// Columns [first, first + count) of a matrix.
Matrix columns_of(const Matrix& matrix, IndexRange range) {
  Matrix part({matrix.extent(0), range.count});
  for (std::int64_t row = 0; row < part.extent(0); ++row) {
    for (std::int64_t i = 0; i < range.count; ++i) part(row, i) = matrix(row, range.first + i);
  }
  return part;
}

WeightOptions options_of(const ProductCase& product, const MatrixShape& shape) {
  return {.shape = shape, .stored = product.stored, .shards = product.shards};
}

}  // namespace

std::string text(const ProductCase& product) {
  return fmt::format(
      "rows {} inputs {} outputs {} bias {} cap {} activation {} accumulate {} shards {}",
      product.rows, product.inputs, product.outputs, product.bias, product.soft_cap,
      static_cast<int>(product.activation), product.accumulate, product.shards);
}

std::vector<ProductCase> product_cases() {
  std::vector<ProductCase> cases;
  int index = 0;
  for (const std::int64_t rows : {1, 2, 3, 5, 8, 17, 33}) {
    for (const std::int64_t inputs : {1, 2, 3, 8, 31, 64, 129}) {
      for (const std::int64_t outputs : {1, 15, 16, 17, 64, 95, 97}) {
        // Every second one; since 7 is odd, each pair of sizes still meets.
        if (++index % 2 == 0) continue;
        ProductCase product{.rows = rows, .inputs = inputs, .outputs = outputs};
        product.bias = (inputs + outputs) % 2 == 0;
        product.soft_cap = (rows + outputs) % 3 == 0 ? 3.0F : 0.0F;
        product.accumulate = inputs % 3 != 0;
        product.activation = static_cast<Activation>((rows + inputs + outputs) % 7);
        product.stored = static_cast<DType>((rows + inputs) % 3);
        product.shards = 1 + static_cast<int>((rows * inputs + outputs) % 5);
        cases.push_back(product);
      }
    }
  }
  cases.push_back({.rows = 0, .inputs = 5, .outputs = 18, .bias = true});
  cases.push_back({.rows = 70, .inputs = 300, .outputs = 130, .bias = true, .accumulate = true});
  cases.push_back({.rows = 4, .inputs = 1000, .outputs = 33, .bias = true, .accumulate = true});
  return cases;
}

ProductData product_data(const ProductCase& product, bool gated) {
  Numbers numbers(static_cast<std::uint32_t>(product.rows * 7 + product.inputs * 131 +
                                             product.outputs * 1009 + (gated ? 1 : 0)));
  const std::int64_t outputs = gated ? 2 * product.outputs : product.outputs;
  ProductData data;
  data.x = numbers.matrix(product.rows, product.inputs);
  data.w = numbers.matrix(outputs, product.inputs);
  if (product.bias) data.bias = numbers.vector(outputs);
  data.before = numbers.matrix(product.rows, product.outputs);
  return data;
}

Matrix run_linear(TestDevice& device, const ProductCase& product) {
  const ProductData data = product_data(product);
  const Weight w = device.weight(
      data.w, options_of(product, {.outputs = product.outputs, .inputs = product.inputs}));
  const DeviceMatrix out = device.matrix(product.rows, product.outputs);
  device.backend().linear(device.stream(), device.pack(data.x), w, device.vector(data.bias),
                          product.soft_cap, out);
  return device.download(out);
}

Matrix run_activated(TestDevice& device, const ProductCase& product) {
  const ProductData data = product_data(product);
  const Weight w = device.weight(
      data.w, options_of(product, {.outputs = product.outputs, .inputs = product.inputs}));
  const PackedRows out = device.packed(product.rows, product.outputs);
  device.backend().linear_activated(device.stream(), device.pack(data.x), w,
                                    device.vector(data.bias), product.activation, out);
  return device.unpack(out);
}

Matrix run_gated(TestDevice& device, const ProductCase& product) {
  const ProductData data = product_data(product, true);
  WeightOptions options =
      options_of(product, {.outputs = 2 * product.outputs, .inputs = product.inputs});
  options.fuse = Fuse::interleave;
  const PackedRows out = device.packed(product.rows, product.outputs);
  device.backend().linear_gated(device.stream(), device.pack(data.x),
                                device.weight(data.w, options), device.vector(data.bias),
                                product.activation, out);
  return device.unpack(out);
}

Matrix run_row_parallel(TestDevice& device, const ProductCase& product) {
  const ProductData data = product_data(product);
  const Weight w = device.weight(data.w, options_of(product, {.outputs = product.outputs,
                                                              .inputs = product.inputs,
                                                              .row_parallel = true,
                                                              .whole_inputs = product.inputs}));
  const DeviceMatrix out = device.matrix(data.before);
  device.backend().linear_row_parallel(device.stream(), device.pack(data.x), w,
                                       device.vector(data.bias), product.accumulate, out);
  return device.download(out);
}

Matrix run_joined(TestDevice& device, const ProductCase& product, int tp_size) {
  const ProductData data = product_data(product);
  Backend& backend = device.backend();
  // Partial sums of the ranks lie one after the other, without guards between them.
  const Buffer parts = backend.allocate(
      static_cast<std::size_t>(tp_size * product.rows * product.outputs + 1) * sizeof(float));
  auto* first = reinterpret_cast<float*>(parts.data());
  for (int rank = 0; rank < tp_size; ++rank) {
    const IndexRange slice = reduction_slice(product.inputs, tp_size, rank);
    const Weight w = device.weight(columns_of(data.w, slice),
                                   options_of(product, {.outputs = product.outputs,
                                                        .inputs = slice.count,
                                                        .row_parallel = true,
                                                        .whole_inputs = product.inputs,
                                                        .first_input = slice.first}));
    const DeviceMatrix part{first + rank * product.rows * product.outputs, product.rows,
                            product.outputs, product.outputs};
    backend.linear_partial(device.stream(), device.pack(columns_of(data.x, slice)), w, tp_size,
                           part);
  }
  const DeviceMatrix out = device.matrix(data.before);
  backend.join_partials(device.stream(), first, tp_size, device.vector(data.bias),
                        product.accumulate, out);
  return device.download(out);
}

}  // namespace gridmill::testing
