#include "gridmill/params/parameter_spec.hpp"

#include "gridmill/base/check.hpp"

namespace gridmill {

std::int64_t panel_count(const MatrixSpec& matrix, std::int64_t width) {
  if (matrix.fuse == Fuse::interleave) {
    GRIDMILL_ASSERT(
        matrix.parts.size() == 2 && matrix.parts[0].rows.count == matrix.parts[1].rows.count,
        "interleaved matrix " + matrix.name + " needs two parts of equal rows");
    return 2 * ((matrix.parts[0].rows.count + width - 1) / width);
  }
  return (matrix.shape.outputs + width - 1) / width;
}

std::vector<PanelSource> panel_sources(const MatrixSpec& matrix, std::int64_t width,
                                       std::int64_t panel) {
  std::vector<PanelSource> sources;
  if (matrix.fuse == Fuse::interleave) {
    const auto part = static_cast<std::size_t>(panel % 2);
    const IndexRange rows = matrix.parts[part].rows;
    const std::int64_t first = panel / 2 * width;
    sources.push_back({part, {rows.first + first, std::min(width, rows.count - first)}, 0});
    return sources;
  }
  const std::int64_t begin = panel * width;
  const std::int64_t end = std::min(begin + width, matrix.shape.outputs);
  std::int64_t part_begin = 0;  // output of the part's first row
  for (std::size_t part = 0; part < matrix.parts.size(); ++part) {
    const IndexRange rows = matrix.parts[part].rows;
    const std::int64_t first = std::max(begin, part_begin);
    const std::int64_t last = std::min(end, part_begin + rows.count);
    if (first < last) {
      sources.push_back({part, {rows.first + first - part_begin, last - first}, first - begin});
    }
    part_begin += rows.count;
  }
  return sources;
}

}  // namespace gridmill
