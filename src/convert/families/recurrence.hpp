#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "convert/config_fields_detail.hpp"
#include "convert/families/names.hpp"
#include "gridmill/model/model_spec.hpp"

// Parts of recurrent families.
namespace gridmill::convert_detail {

/// Refuses a `time_step_limit` that limits something. Files write [0, inf] as a list, with the
/// infinity as a number or a text, as one text, or not at all.
/// @throws FormatError with the word `unsupported`.
void check_time_step_limit(ConfigFields& config);

/// The recurrence of a wanted parameter's layer. @throws InternalError if it has none.
[[nodiscard]] const LinearRecurrenceSpec& recurrence_of(const WantedParameter& wanted);

/// Weights of a depthwise convolution, stored (channels, 1, taps), ours lie tap by tap.
/// @param channels  ranges of the tensor's channels, in our order.
[[nodiscard]] ParameterTake take_taps(const std::string& tensor, std::int64_t taps,
                                      std::span<const IndexRange> channels);
/// Rows of a tensor (or elements of a vector), ranges one behind the other.
/// @param total  rows of the tensor.
[[nodiscard]] ParameterTake take_ranges(const WantedParameter& wanted, const std::string& tensor,
                                        std::span<const IndexRange> rows, std::int64_t total);

/// Where the parts of Mamba-2's in_proj and convolution are: z | x | B | C | dt, and x | B | C.
/// @param prefix  of the mixer's tensors, e.g. "backbone.layers.3.mixer."
[[nodiscard]] ParameterTake take_mamba2(const WantedParameter& wanted, const std::string& prefix);

}  // namespace gridmill::convert_detail
