#include "convert/quantised/scaled_matrix.hpp"

#include <cstddef>
#include <utility>

#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

std::int64_t blocks_of(std::int64_t extent, std::int64_t block) {
  return (extent + block - 1) / block;
}

/// A packed code of `bits` as a signed number.
float unpacked(std::uint32_t word, std::int64_t place, std::int64_t bits) {
  const std::uint32_t code = (word >> (place * bits)) & ((1U << bits) - 1U);
  return static_cast<float>(static_cast<std::int32_t>(code) - (1 << (bits - 1)));
}

}  // namespace

ScaledMatrix::ScaledMatrix(std::string name, ScaledForm form, const ForeignTensor& codes,
                           const ForeignTensor& scales, const ForeignTensor* zeros,
                           const ForeignTensor* order, float factor)
    : DequantisedMatrix(std::move(name), codes.file(), form.rows, form.columns, form.type),
      form_(std::move(form)),
      codes_(codes),
      scales_(scales),
      zeros_(zeros),
      order_(order),
      factor_(factor) {}

std::int64_t ScaledMatrix::grid_columns() const {
  return blocks_of(form_.columns, form_.block_columns);
}

void ScaledMatrix::read_codes(std::int64_t first, std::span<float> out) const {
  if (form_.packed_bits == 0) {
    codes_.read(first * form_.columns, out);
    return;
  }
  const std::int64_t per_word = 32 / form_.packed_bits;
  const std::int64_t row_words = blocks_of(form_.columns, per_word);
  std::vector<std::uint32_t> words(static_cast<std::size_t>(row_words));
  const std::int64_t count = static_cast<std::int64_t>(out.size()) / form_.columns;
  for (std::int64_t row = 0; row < count; ++row) {
    read_words(codes_, (first + row) * row_words, words);
    for (std::int64_t column = 0; column < form_.columns; ++column) {
      out[static_cast<std::size_t>(row * form_.columns + column)] = unpacked(
          words[static_cast<std::size_t>(column / per_word)], column % per_word, form_.packed_bits);
    }
  }
}

void ScaledMatrix::read_zeros(std::int64_t block_row, std::span<float> out) const {
  if (zeros_ == nullptr) return;
  const std::int64_t width = grid_columns();
  if (form_.packed_bits == 0) {
    zeros_->read(block_row * width, out);
    return;
  }
  const std::int64_t per_word = 32 / form_.packed_bits;
  std::vector<std::uint32_t> words(static_cast<std::size_t>(width));
  read_words(*zeros_, block_row / per_word * width, words);
  for (std::size_t i = 0; i < words.size(); ++i) {
    out[i] = unpacked(words[i], block_row % per_word, form_.packed_bits);
  }
}

std::vector<std::int32_t> ScaledMatrix::block_of_columns() const {
  std::vector<std::int32_t> blocks(static_cast<std::size_t>(form_.columns));
  if (order_ == nullptr) {
    for (std::int64_t column = 0; column < form_.columns; ++column) {
      blocks[static_cast<std::size_t>(column)] =
          static_cast<std::int32_t>(column / form_.block_columns);
    }
    return blocks;
  }
  read_stored(*order_, 0, std::as_writable_bytes(std::span(blocks)));
  for (const std::int32_t block : blocks) {
    if (block < 0 || block >= grid_columns()) {
      fail_tensor(*order_, fmt::format("holds group {}, but there are {}", block, grid_columns()));
    }
  }
  return blocks;
}

void ScaledMatrix::read_rows(std::int64_t first, std::span<float> out) const {
  const std::int64_t count = static_cast<std::int64_t>(out.size()) / form_.columns;
  const std::vector<std::int32_t> blocks = block_of_columns();
  std::vector<float> scales(static_cast<std::size_t>(grid_columns()));
  std::vector<float> zeros(scales.size(), 0.0F);
  read_codes(first, out);
  std::int64_t known = -1;  // the line of blocks that scales and zeros are of
  for (std::int64_t row = 0; row < count; ++row) {
    const std::int64_t line = (first + row) / form_.block_rows;
    if (line != known) {
      read_scales(scales_, line * grid_columns(), scales);
      read_zeros(line, zeros);
      known = line;
    }
    for (std::int64_t column = 0; column < form_.columns; ++column) {
      const auto block = static_cast<std::size_t>(blocks[static_cast<std::size_t>(column)]);
      float& value = out[static_cast<std::size_t>(row * form_.columns + column)];
      value = (value - zeros[block]) * scales[block];
      if (factor_ != 1) value *= factor_;
    }
  }
}

void set_blocks(ScaledForm& form, const ForeignTensor& scales, std::int64_t block_rows,
                std::int64_t block_columns) {
  const Extents& shape = scales.shape();
  if (element_count(shape) == 1) {
    form.block_rows = form.rows;
    form.block_columns = form.columns;
    return;
  }
  if (shape == Extents{form.rows} || shape == Extents{form.rows, 1}) {
    form.block_rows = 1;
    form.block_columns = form.columns;
    return;
  }
  const Extents grid = {blocks_of(form.rows, block_rows), blocks_of(form.columns, block_columns)};
  if (shape != grid) {
    fail_tensor(scales,
                fmt::format("is {}, expected one scale, one for each of {} rows, or {} for "
                            "blocks of [{}, {}]",
                            to_text(shape), form.rows, to_text(grid), block_rows, block_columns));
  }
  form.block_rows = block_rows;
  form.block_columns = block_columns;
}

}  // namespace gridmill::convert_detail
