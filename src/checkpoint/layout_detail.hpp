#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill::checkpoint_layout {

// Names inside the file (docs/formats/checkpoint.md).
inline constexpr std::string_view kFormat = "gridmill-checkpoint";
/// Versions of a file without codes, and of one with them.
inline constexpr std::int64_t kFormatVersion = 1;
inline constexpr std::int64_t kCodedFormatVersion = 2;
inline constexpr std::string_view kParameters = "/parameters";
inline constexpr std::string_view kScales = "/scales";
inline constexpr std::string_view kFiles = "/files";
inline constexpr std::string_view kTokenizer = "/tokenizer";
inline constexpr std::string_view kHashes = "/hashes";

/// A parameter with the hash of its stored bytes.
struct HashedParameter {
  std::string name;
  std::vector<std::int64_t> shape;
  std::string type;  ///< StoredParameter::type_name
  std::string hash;
};

/// Identity of a model: its configuration and every parameter's name, shape, dtype and content, in
/// the order of the names.
[[nodiscard]] std::string checkpoint_hash(const Json& model,
                                          std::vector<HashedParameter> parameters);

/// The JSON text of dataset /hashes: {"checkpoint": hash, "parameters": {name: hash}}. Its length
/// depends on the names only.
[[nodiscard]] std::string hashes_text(const std::string& checkpoint,
                                      const std::vector<HashedParameter>& parameters);

/// A hash that stands for one not known yet, of the same length.
[[nodiscard]] std::string placeholder_hash();

/// StoredParameter::type_name.
[[nodiscard]] std::string type_name(DType dtype, const WeightFormat& format);
/// Hash of a parameter in codes: those of its codes and of its scales.
[[nodiscard]] std::string joined_hash(const std::string& codes, const std::string& scales);
/// Whether groups of `inputs` inputs may restart after `block`: all of them, or a block of a
/// row-parallel matrix.
[[nodiscard]] bool is_group_block(std::int64_t inputs, std::int64_t block);
[[nodiscard]] bool is_group(std::int64_t group);

[[nodiscard]] std::int64_t element_count(const std::vector<std::int64_t>& shape);
/// "[4096, 1024]".
[[nodiscard]] std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace gridmill::checkpoint_layout
