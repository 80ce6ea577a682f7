#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "convert/foreign_tensor_detail.hpp"
#include "convert/model_folder.hpp"

namespace gridmill::convert_detail {

/// Element types of safetensors files that occur in language models.
enum class SafetensorsType : std::uint8_t {
  f32,
  f16,
  bf16,
  f64,
  f8_e4m3,
  f8_e5m2,
  i8,
  u8,
  boolean,
  i32,
  i64
};

/// One tensor of a safetensors header.
struct SafetensorsEntry {
  std::string name;
  SafetensorsType type = SafetensorsType::f32;
  Extents shape = {};
  std::uint64_t begin = 0;  ///< of its bytes, counted from the end of the header
  std::uint64_t end = 0;
};

/// The longest header that is read, in bytes.
inline constexpr std::uint64_t kLongestSafetensorsHeader = 100'000'000;

/// Reads the JSON part of a safetensors file and checks all of it: types, extents, offsets that lie
/// inside the file, agree with the extents and do not overlap. Gaps are tolerated (padding). Sorted
/// by name.
/// @param data_bytes  bytes of the file behind the header.
/// @param path  names the file in messages.
/// @throws FormatError
[[nodiscard]] std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view header,
                                                                     std::uint64_t data_bytes,
                                                                     const std::string& path);

/// Adds the tensors of the safetensors file `name`.
/// @throws as ModelFolder::open(), FormatError
void add_safetensors_file(ModelFolder& folder, const std::string& name, ForeignTensors& tensors);

/// Adds the tensors of a Hugging Face folder: of model.safetensors, or of the files that
/// model.safetensors.index.json names.
/// @throws MissingInputError for a file that the index names; FormatError if the folder has no
///         weights, or a file lacks a tensor that the index promises.
void add_safetensors_folder(ModelFolder& folder, ForeignTensors& tensors);

}  // namespace gridmill::convert_detail
