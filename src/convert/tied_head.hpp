#pragma once

#include "convert/foreign_model_detail.hpp"

namespace gridmill::convert_detail {

/// A tied model of a Hugging Face folder whose files have a head of its own: with the numbers of
/// the embedding it stays tied; with others the head counts, as in transformers, and the model
/// becomes untied. Reads both tensors once if both are there.
void untie_other_head(ForeignModel& foreign);

}  // namespace gridmill::convert_detail
