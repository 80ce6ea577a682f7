// convert streams: what it holds at once does not grow with the model.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "support/safetensors_writer.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using test::SafetensorsWriter;

/// Header of a safetensors file of bf16 tensors, whose bytes are a hole.
class SparseTensors {
 public:
  void add(const std::string& name, const std::vector<std::uint64_t>& shape) {
    std::uint64_t bytes = 2;
    for (const std::uint64_t extent : shape) bytes *= extent;
    header_[name] = {{"dtype", "BF16"}, {"shape", shape}, {"data_offsets", {size_, size_ + bytes}}};
    size_ += bytes;
  }
  void write(const std::string& path) const {
    const std::string head = SafetensorsWriter::bytes_with_header(header_.dump(), "");
    std::ofstream(path, std::ios::binary) << head;
    std::filesystem::resize_file(path, head.size() + size_);
  }
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  Json header_ = Json::object();
  std::uint64_t size_ = 0;
};

// Pieces of 64 MiB in a few buffers, whatever the size of the model.
TEST(Convert, HoldsLessThanTheModelInMemory) {
  constexpr std::uint64_t kHidden = 4096;
  constexpr std::uint64_t kInner = 8192;
  constexpr std::uint64_t kKeys = 1024;
  constexpr std::uint64_t kVocab = 8192;
  const std::string folder = cli().file("wide");
  std::filesystem::create_directory(folder);
  const Json config = {{"model_type", "llama"},         {"architectures", {"LlamaForCausalLM"}},
                       {"hidden_size", kHidden},        {"intermediate_size", kInner},
                       {"num_attention_heads", 32},     {"num_key_value_heads", 8},
                       {"num_hidden_layers", 1},        {"vocab_size", kVocab},
                       {"max_position_embeddings", 64}, {"rms_norm_eps", 1e-5},
                       {"tie_word_embeddings", true}};
  std::ofstream(folder + "/config.json") << config.dump();
  SparseTensors tensors;
  tensors.add("model.embed_tokens.weight", {kVocab, kHidden});
  tensors.add("model.norm.weight", {kHidden});
  const std::string layer = "model.layers.0.";
  tensors.add(layer + "input_layernorm.weight", {kHidden});
  tensors.add(layer + "post_attention_layernorm.weight", {kHidden});
  tensors.add(layer + "self_attn.q_proj.weight", {kHidden, kHidden});
  tensors.add(layer + "self_attn.k_proj.weight", {kKeys, kHidden});
  tensors.add(layer + "self_attn.v_proj.weight", {kKeys, kHidden});
  tensors.add(layer + "self_attn.o_proj.weight", {kHidden, kHidden});
  tensors.add(layer + "mlp.gate_proj.weight", {kInner, kHidden});
  tensors.add(layer + "mlp.up_proj.weight", {kInner, kHidden});
  tensors.add(layer + "mlp.down_proj.weight", {kHidden, kInner});
  tensors.write(folder + "/model.safetensors");

  const ProgramResult result = cli().run({"convert", "wide", "wide.h5"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_GE(std::filesystem::file_size(cli().file("wide.h5")), tensors.size());
  std::filesystem::remove_all(folder);
  std::filesystem::remove(cli().file("wide.h5"));

  rusage largest{};  // of all programs that this one has run
  ASSERT_EQ(::getrusage(RUSAGE_CHILDREN, &largest), 0);
  constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
  ASSERT_GE(tensors.size(), 320 * kMiB);
  EXPECT_LT(static_cast<std::uint64_t>(largest.ru_maxrss) * 1024, 256 * kMiB);
}

}  // namespace
}  // namespace gridmill
