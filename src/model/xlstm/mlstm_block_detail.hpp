#pragma once

#include "model/layers/decoder_detail.hpp"
#include "model/xlstm/xlstm_parameters_detail.hpp"

namespace gridmill::model_detail {

/// One layer of one pass: everything its blocks need.
struct XlstmLayer {
  const XlstmConfig& config;
  const XlstmLayerParts& parts;
  const Pass& pass;
  const UnitWeights& weights;
  MlstmState& state;
  int index = 0;
};

/// x += [post norm](mLSTM(norm(x))), layer type mlstm_v1.
void mlstm_block(const XlstmLayer& layer);
/// The same for the older layer type of xlstm-jax. Its convolution has no state in generation: only
/// the last tap ever sees data, so it is an affine map of each channel.
void older_mlstm_block(const XlstmLayer& layer);
/// x += [post norm](FFN(norm(x))).
void feed_forward_block(const XlstmLayer& layer);

}  // namespace gridmill::model_detail
