#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/grid_shape.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/base/tensor.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill::test {

/// A recorded call of generate_tokens of NX-AI/xlstm-jax, and what it returned.
struct Recording {
  std::string name;
  Tensor<TokenId, 2> prefix;
  std::optional<Tensor<std::uint8_t, 2>> mask;
  std::vector<TokenId> tokens;
  std::vector<std::uint8_t> valid;
  std::int64_t max_length = 0;
  std::int64_t eod_token_id = -1;
  std::uint64_t seed = 0;
  float temperature = 0;  ///< 0 for the greedy sampler
  bool gather_params_once = false;
  std::optional<DType> param_dtype;
  GridShape grid;
};

/// A dataset [N, M], or [N] read as [N, 1].
template <typename T>
Tensor<T, 2> read_matrix(const h5::Dataset& dataset) {
  const auto rows = static_cast<std::int64_t>(dataset.shape()[0]);
  Tensor<T, 2> result(
      {rows, dataset.shape().size() == 1 ? 1 : static_cast<std::int64_t>(dataset.shape()[1])});
  result.flat() = dataset.read_as<T>();
  return result;
}

inline Recording read_recording(const h5::File& file, const std::string& name) {
  const std::string group = "/runs/" + name;
  Recording run{
      .name = name,
      .prefix = read_matrix<TokenId>(file.dataset(group + "/prefix_tokens")),
      .mask = std::nullopt,
      .tokens = file.dataset(group + "/tokens").read_as<TokenId>(),
      .valid = file.dataset(group + "/valid").read_as<std::uint8_t>(),
      .max_length = file.read_integer_attribute(group, "max_length"),
      .eod_token_id = file.read_integer_attribute(group, "eod_token_id"),
      .seed = static_cast<std::uint64_t>(file.read_integer_attribute(group, "seed")),
      .gather_params_once = file.read_integer_attribute(group, "gather_params_once") != 0,
      .param_dtype = std::nullopt,
      .grid = {.dp = static_cast<int>(file.read_integer_attribute(group, "mesh_dp")),
               .fsdp = static_cast<int>(file.read_integer_attribute(group, "mesh_fsdp"))}};
  if (file.exists(group + "/prefix_mask")) {
    run.mask = read_matrix<std::uint8_t>(file.dataset(group + "/prefix_mask"));
  }
  if (file.read_text_attribute(group, "sampler") != "greedy") {
    run.temperature = static_cast<float>(file.read_number_attribute(group, "temperature"));
  }
  if (file.read_text_attribute(group, "param_dtype") == "bfloat16") run.param_dtype = DType::bf16;
  return run;
}

/// All of a file of golden/xlstm-jax.
inline std::vector<Recording> read_recordings(const std::string& path) {
  const h5::File file = h5::File::open(path);
  std::vector<Recording> runs;
  for (const h5::Link& link : file.links("/runs")) {
    const std::string name = link.path.substr(std::string("/runs/").size());
    if (name.find('/') == std::string::npos) runs.push_back(read_recording(file, name));
  }
  return runs;
}

/// Rows of `matrix` that data shard `shard` of `shards` has.
template <typename T>
TensorView<const T, 2> shard_of(const Tensor<T, 2>& matrix, int shard, int shards) {
  const std::int64_t rows = matrix.extent(0) / shards;
  return {matrix.view().data() + rows * shard * matrix.extent(1), {rows, matrix.extent(1)}};
}

}  // namespace gridmill::test
