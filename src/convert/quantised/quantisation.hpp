#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "convert/config_fields_detail.hpp"
#include "convert/foreign_tensor_detail.hpp"

// Folders whose weights are quantised: quantization_config of config.json. A reader a file; each
// gives the weights the names and values that a plain folder has (docs/formats/foreign.md).
namespace gridmill::convert_detail {

/// How the weights of a folder are quantised.
struct Quantisation {
  std::string name;  ///< for messages: "gptq of 4 bits"
  /// Replaces the parts of every quantised weight by a tensor of its values.
  /// @return the number of weights. @throws FormatError naming the tensor.
  std::function<int(ForeignTensors&)> expand;
};

/// Reads quantization_config (or compression_config); none without one.
/// @throws FormatError naming the field; with the word `unsupported` for a method or a form of it
///         that is not read.
[[nodiscard]] std::optional<Quantisation> read_quantisation(ConfigFields& config);

/// Expands, and says so in one line.
/// @param where  names the folder. @throws FormatError, also if no weight is quantised.
void expand_quantised(const Quantisation& quantisation, ForeignTensors& tensors,
                      const std::string& where);

// A file a method. `fields` is quantization_config.
[[nodiscard]] Quantisation read_gptq(ConfigFields& fields);
[[nodiscard]] Quantisation read_awq(ConfigFields& fields);
[[nodiscard]] Quantisation read_compressed_tensors(ConfigFields& fields);
[[nodiscard]] Quantisation read_fp8(ConfigFields& fields);
[[nodiscard]] Quantisation read_bitsandbytes(ConfigFields& fields);

/// Starts of the names that end with `ending`.
[[nodiscard]] std::vector<std::string> bases_of(const ForeignTensors& tensors,
                                                const std::string& ending);
/// Calls `expand` for each of `bases`. @return their number
int for_each_weight(const std::vector<std::string>& bases,
                    const std::function<void(const std::string& base)>& expand);
/// Codes that have the name of their weight get another one, which the values then take:
/// BASE + `weight` becomes BASE + `weight` + kCodes.
/// @throws FormatError naming a tensor that is missing.
void set_codes_aside(ForeignTensors& tensors, const std::vector<std::string>& bases,
                     const std::string& weight);
inline constexpr const char* kCodes = " (codes)";

}  // namespace gridmill::convert_detail
