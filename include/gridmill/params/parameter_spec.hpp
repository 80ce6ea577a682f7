#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/params/shape.hpp"

namespace gridmill {

/// A parameter as the checkpoint stores it: full, row-major, (out, in) or (n).
struct ParameterSpec {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// A rectangle of one stored matrix.
struct MatrixPart {
  std::string parameter;
  IndexRange rows;
  IndexRange columns;
};

/// How the parts of a matrix are laid out over its outputs.
enum class Fuse : std::uint8_t {
  concatenate,  ///< output o runs through the parts one after the other, without gaps
  interleave,   ///< two parts of equal rows; panels alternate: part 0, part 1, part 0, ... (gate |
                ///< up)
};

/// How a matrix lies in memory once prepared.
enum class MatrixLayout : std::uint8_t {
  panels,  ///< what the backend multiplies with
  rows,    ///< plain rows in the compute dtype: an embedding table
};

/// One matrix of a unit, already cut to this tp rank: what is multiplied (or looked up) in one go.
struct MatrixSpec {
  std::string name;
  std::vector<MatrixPart> parts;
  MatrixShape shape;
  Fuse fuse = Fuse::concatenate;
  MatrixLayout layout = MatrixLayout::panels;
};

/// Part of a vector of fp32: elements of a stored parameter, or zeros where `parameter` is empty (a
/// missing bias beside present ones).
struct VectorPart {
  std::string parameter;
  IndexRange elements;
};
struct VectorSpec {
  std::string name;
  std::vector<VectorPart> parts;
};

/// Parameters that are gathered together: a layer, the embedding, the head.
struct UnitSpec {
  std::string name;
  std::vector<MatrixSpec> matrices;
  std::vector<VectorSpec> vectors;
};

/// Everything one tp rank needs of a model.
struct ModelParameters {
  std::vector<ParameterSpec> stored;  ///< every parameter of the checkpoint, with its full shape
  std::vector<UnitSpec> units;        ///< in order of use
  UnitId embedding_unit = 0;          ///< where token rows are looked up: matrix 0 of this unit
  IndexRange embedding_ids;           ///< ids whose rows this tp rank holds
};

/// Number of panels of `width` outputs: of the whole for concatenate, of each part for interleave.
[[nodiscard]] std::int64_t panel_count(const MatrixSpec& matrix, std::int64_t width);

/// Rows of a stored parameter that make up lanes of a panel.
struct PanelSource {
  std::size_t part = 0;   ///< index into MatrixSpec::parts
  IndexRange rows;        ///< rows of the stored parameter
  std::int64_t lane = 0;  ///< first output lane of the panel that they fill
};
/// Where panel `panel` comes from; lanes that no source names are zero.
[[nodiscard]] std::vector<PanelSource> panel_sources(const MatrixSpec& matrix, std::int64_t width,
                                                     std::int64_t panel);

}  // namespace gridmill
