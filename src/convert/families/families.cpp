#include <vector>

#include "convert/families/family.hpp"

namespace gridmill::convert_detail {

std::span<const Family> families() {
  static const std::vector<Family> kFamilies = [] {
    std::vector<Family> list = {
        llama_family(),     mistral_family(),    qwen2_family(),      qwen3_family(),
        gemma_family(),     gemma2_family(),     gemma3_family(),     phi_family(),
        phi3_family(),      olmo2_family(),      olmo3_family(),      olmoe_family(),
        granite_family(),   glm_family(),        glm4_family(),       stablelm_family(),
        smollm3_family(),   nemotron_family(),   starcoder2_family(), cohere_family(),
        cohere2_family(),   gpt_neox_family(),   gpt2_family(),       mixtral_family(),
        qwen2_moe_family(), qwen3_moe_family(),  gpt_oss_family(),    mamba2_family(),
        falcon_h1_family(), qwen3_next_family(), qwen3_5_family(),    xlstm_package_family()};
    return list;
  }();
  return kFamilies;
}

}  // namespace gridmill::convert_detail
