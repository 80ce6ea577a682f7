#pragma once

#include <string>
#include <vector>

#include "golden/golden_model.hpp"
#include "golden/plain_golden.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill::test {

/// Cases that tests/data/golden/plain holds too, with their err32 (hf_golden_test.cpp): small
/// random models, one a family.
struct PlainCase {
  std::string name;
  double err32 = 0;
};
inline std::vector<PlainCase> plain_cases() {
  return {{"llama_gqa", 9.8e-6}, {"xlstm_bias_caps", 2.7e-5}};
}

/// The case of tests/data/golden/hf as a plain file.
inline PlainGolden plain_from_hf(const PlainCase& one) {
  const std::string source = "tests/data/golden/hf/" + one.name;
  const std::string folder = std::string(GRIDMILL_SOURCE_DIR) + "/" + source;
  GoldenModel model = convert_model_once(folder);
  PlainGolden golden{.source = source,
                     .err32 = one.err32,
                     .config = model.config,
                     .tensors = std::move(model.tensors),
                     .prompts = {}};
  const h5::File file = h5::File::open(folder + "/golden.h5");
  for (int i = 0; file.exists("/p" + std::to_string(i)); ++i) {
    const std::string group = "/p" + std::to_string(i);
    golden.prompts.push_back({.prompt = file.dataset(group + "/prompt").read_as<std::int32_t>(),
                              .greedy = file.dataset(group + "/greedy").read_as<std::int32_t>(),
                              .logits = file.dataset(group + "/logits").read_as<float>()});
  }
  return golden;
}

}  // namespace gridmill::test
