#include <algorithm>
#include <optional>
#include <utility>

#include "convert/parameter_take_detail.hpp"
#include "gridmill/base/check.hpp"

namespace gridmill::convert_detail {

namespace {

/// Heads whose first `rotated` rows of `width` hold interleaved pairs; width 0: none.
struct Interleaving {
  std::int64_t width = 0;
  std::int64_t rotated = 0;
};

/// Where row `row` of ours comes from.
std::int64_t interleaved_row(std::int64_t row, const Interleaving& heads) {
  if (heads.width == 0) return row;
  const std::int64_t head = row / heads.width * heads.width;
  const std::int64_t inside = row - head;
  if (inside >= heads.rotated) return row;
  const std::int64_t half = heads.rotated / 2;
  return head + (inside < half ? 2 * inside : 2 * (inside - half) + 1);
}

/// Copies scratch[columns, rows] into out[rows, columns] in tiles that stay in the first cache.
void transpose(std::span<const float> scratch, std::int64_t rows, std::int64_t columns,
               const Interleaving& heads, float* out, std::int64_t out_stride) {
  constexpr std::int64_t kTile = 32;
  for (std::int64_t row_tile = 0; row_tile < rows; row_tile += kTile) {
    for (std::int64_t column_tile = 0; column_tile < columns; column_tile += kTile) {
      const std::int64_t row_end = std::min(rows, row_tile + kTile);
      const std::int64_t column_end = std::min(columns, column_tile + kTile);
      for (std::int64_t row = row_tile; row < row_end; ++row) {
        const std::int64_t from = interleaved_row(row, heads);
        for (std::int64_t column = column_tile; column < column_end; ++column) {
          out[row * out_stride + column] = scratch[static_cast<std::size_t>(column * rows + from)];
        }
      }
    }
  }
}

/// A piece of a parameter: rows [first_row, ...) and all columns.
struct Piece {
  std::int64_t first_row;
  std::int64_t columns;
  std::span<float> values;
};

class BlockReader {
 public:
  BlockReader(const ForeignTensor& tensor, const ParameterTake& take)
      : tensor_(tensor),
        heads_{take.rotary_width, take.rotated_rows == 0 ? take.rotary_width : take.rotated_rows} {}

  /// Fills rows [first, end) of `piece` that `block` covers.
  void fill(const TakenBlock& block, std::int64_t first, std::int64_t end, const Piece& piece) {
    const std::int64_t rows = end - first;
    const std::int64_t start = block.first + (first - block.rows.first) * block.row_stride;
    float* out =
        piece.values.data() + (first - piece.first_row) * piece.columns + block.columns.first;
    if (block.column_stride == 1) {
      fill_rows(block, start, rows, out, piece.columns);
    } else {
      fill_transposed(block, start, rows, out, piece.columns);
    }
  }

 private:
  void fill_rows(const TakenBlock& block, std::int64_t start, std::int64_t rows, float* out,
                 std::int64_t out_stride) {
    const std::int64_t columns = block.columns.count;
    const auto width = static_cast<std::size_t>(columns);
    const std::span<float> scratch = scratch_of(rows * columns);
    if (block.row_stride == columns) {
      tensor_.read(start, scratch);
    } else {
      for (std::int64_t row = 0; row < rows; ++row) {
        tensor_.read(start + row * block.row_stride,
                     scratch.subspan(static_cast<std::size_t>(row) * width, width));
      }
    }
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t from = interleaved_row(row, heads_);
      std::copy_n(scratch.data() + from * columns, width, out + row * out_stride);
    }
  }

  void fill_transposed(const TakenBlock& block, std::int64_t start, std::int64_t rows, float* out,
                       std::int64_t out_stride) {
    const std::int64_t columns = block.columns.count;
    const std::span<float> scratch = scratch_of(rows * columns);
    if (block.row_stride != 1) {
      read_strided_columns(block, start, rows, scratch);
    } else if (rows ==
               block.column_stride) {  // every column is complete: they lie one after the other
      tensor_.read(start, scratch);
    } else {
      for (std::int64_t column = 0; column < columns; ++column) {
        tensor_.read(start + column * block.column_stride,
                     scratch.subspan(static_cast<std::size_t>(column * rows),
                                     static_cast<std::size_t>(rows)));
      }
    }
    transpose(scratch, rows, columns, heads_, out, out_stride);
  }

  /// Columns whose elements lie row_stride apart, one behind the other.
  void read_strided_columns(const TakenBlock& block, std::int64_t start, std::int64_t rows,
                            std::span<float> scratch) {
    const std::int64_t extent = (rows - 1) * block.row_stride + 1;
    std::vector<float> column_values(static_cast<std::size_t>(extent));
    float* to = scratch.data();
    for (std::int64_t column = 0; column < block.columns.count; ++column) {
      tensor_.read(start + column * block.column_stride, column_values);
      for (std::int64_t row = 0; row < rows; ++row) {
        *to++ = column_values[static_cast<std::size_t>(row * block.row_stride)];
      }
    }
  }

  std::span<float> scratch_of(std::int64_t elements) {
    scratch_.resize(std::max(scratch_.size(), static_cast<std::size_t>(elements)));
    return std::span(scratch_).first(static_cast<std::size_t>(elements));
  }

  const ForeignTensor& tensor_;
  Interleaving heads_;
  std::vector<float> scratch_;
};

}  // namespace

std::int64_t rows_of(const ParameterSpec& spec) { return spec.shape.at(0); }

std::int64_t columns_of(const ParameterSpec& spec) {
  GRIDMILL_ASSERT(spec.shape.size() <= 2, spec.name + " has more than two axes");
  return spec.shape.size() == 2 ? spec.shape[1] : 1;
}

ParameterTake take_whole(std::string tensor, const ParameterSpec& spec) {
  return take_rows(std::move(tensor), spec, 0, rows_of(spec));
}

ParameterTake take_rows(std::string tensor, const ParameterSpec& spec, std::int64_t first_row,
                        std::int64_t total_rows) {
  const std::int64_t columns = columns_of(spec);
  Extents shape = spec.shape;
  shape[0] = total_rows;
  return {.tensor = std::move(tensor),
          .shape = std::move(shape),
          .blocks = {{.rows = {0, rows_of(spec)},
                      .columns = {0, columns},
                      .first = first_row * columns,
                      .row_stride = columns,
                      .column_stride = 1}}};
}

ParameterTake take_zeros(const ParameterSpec& spec) { return {.tensor = "", .shape = spec.shape}; }

void read_parameter(const ParameterSpec& spec, const ParameterTake& take,
                    const ForeignTensor* tensor, std::int64_t piece_elements,
                    const std::function<void(std::span<const float>)>& sink) {
  const std::int64_t rows = rows_of(spec);
  const std::int64_t columns = columns_of(spec);
  // Heads are never cut: a permuted row's source must be in the same piece.
  const std::int64_t unit = std::max<std::int64_t>(1, take.rotary_width);
  GRIDMILL_ASSERT(rows % unit == 0, spec.name + " does not consist of whole heads");
  const std::int64_t wanted = piece_elements / std::max<std::int64_t>(1, columns) / unit * unit;
  const std::int64_t piece_rows = std::min(rows, std::max(unit, wanted));
  std::vector<float> values(static_cast<std::size_t>(piece_rows * columns));
  std::optional<BlockReader> reader;
  if (tensor != nullptr) reader.emplace(*tensor, take);
  for (std::int64_t first = 0; first < rows; first += piece_rows) {
    const std::int64_t end = std::min(rows, first + piece_rows);
    const Piece piece{
        .first_row = first,
        .columns = columns,
        .values = std::span(values).first(static_cast<std::size_t>((end - first) * columns))};
    std::fill(piece.values.begin(), piece.values.end(), 0.0F);  // what no block covers
    for (const TakenBlock& block : take.blocks) {
      const std::int64_t from = std::max(first, block.rows.first);
      const std::int64_t to = std::min(end, block.rows.end());
      if (reader && from < to) reader->fill(block, from, to, piece);
    }
    if (take.shift != 0) {
      for (float& value : piece.values) value += take.shift;
    }
    sink(piece.values);
  }
}

}  // namespace gridmill::convert_detail
