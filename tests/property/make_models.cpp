// make_models FOLDER: models with 8 heads and random parameters (llama8.h5, xlstm8.h5, and both
// with weights in codes, llama8-int8.h5 and so on; mamba8.h5, delta8.h5 with windows, beside8.h5,
// bias8.h5) and prompts as token ids (prompts.h5), for tests/property/run-long.sh; mamba_long.h5,
// delta_long.h5 and prompt.h5, for long-row.sh; prompts that begin alike (alike.h5), for
// sharing.sh.
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/checkpoint/checkpoint_writer.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/params/quantize.hpp"
#include "support/memory_parameters.hpp"
#include "support/model_run.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

constexpr std::uint64_t kPrompts = 22;
constexpr std::uint64_t kLongest = 70;

void write_model(const std::string& path, const Json& config) {
  const auto model = make_model(config);
  const test::Tensors tensors = test::random_tensors(*model, 1);
  CheckpointDescription description{
      .model = config, .parameters = {}, .files = {}, .tokenizer_kind = {}, .tokenizer = {}};
  for (const ParameterSpec& spec : model->parameters(1, 0).stored) {
    description.parameters.push_back({.spec = spec, .dtype = DType::fp32});
  }
  CheckpointWriter writer(path, std::move(description));
  for (const auto& [name, values] : tensors) writer.append(name, std::as_bytes(std::span(values)));
  writer.finish();
}

/// The same for rows of any length.
Json long_config(Json config) {
  constexpr std::int64_t kLongRow = 131072;
  if (config.at("max_length") != 0) config["max_length"] = kLongRow;
  return config;
}

/// The same model with its layers' matrices in codes.
void write_coded_model(const std::string& path, const Json& config, const WeightFormat& format) {
  const auto model = make_model(config);
  const test::Tensors tensors = test::random_tensors(*model, 1);
  const auto blocks = codable_parameters(model->parameters(1, 0));
  CheckpointDescription description{
      .model = config, .parameters = {}, .files = {}, .tokenizer_kind = {}, .tokenizer = {}};
  for (const ParameterSpec& spec : model->parameters(1, 0).stored) {
    const auto block = blocks.find(spec.name);
    description.parameters.push_back({.spec = spec,
                                      .dtype = DType::fp32,
                                      .format = block == blocks.end() ? WeightFormat{} : format,
                                      .block = block == blocks.end() ? 0 : block->second});
  }
  CheckpointWriter writer(path, description);
  for (const CheckpointDescription::Parameter& parameter : description.parameters) {
    const std::string& name = parameter.spec.name;
    const std::span<const float> values = tensors.at(name);
    if (!parameter.format.coded()) {
      writer.append(name, std::as_bytes(values));
      continue;
    }
    const std::int64_t inputs = parameter.spec.shape[1];
    std::vector<std::byte> codes(static_cast<std::size_t>(inputs));
    std::vector<std::byte> stored(static_cast<std::size_t>(code_bytes(format.codes, inputs)));
    std::vector<std::uint16_t> scales(
        static_cast<std::size_t>(groups_in(inputs, parameter.block, format.group)));
    for (std::size_t row = 0; row < values.size(); row += codes.size()) {
      quantize_row(values.subspan(row, codes.size()), format, parameter.block, codes, scales);
      if (format.codes == WeightCodes::int4) {
        pack_int4_row(codes, stored);
      } else {
        stored = codes;
      }
      writer.append(name, stored);
      writer.append_scales(name, std::as_bytes(std::span(scales)));
    }
  }
  writer.finish();
}

void write_prompts(const std::string& path, const std::vector<std::vector<TokenId>>& prompts) {
  std::vector<TokenId> tokens(prompts.size() * kLongest, 0);
  std::vector<std::uint8_t> mask(tokens.size(), 0);
  for (std::size_t row = 0; row < prompts.size(); ++row) {
    for (std::size_t t = 0; t < prompts[row].size(); ++t) {
      tokens[row * kLongest + t] = prompts[row][t];
      mask[row * kLongest + t] = 1;
    }
  }
  h5::File file = h5::File::create(path);
  const std::uint64_t count = prompts.size();
  file.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), {count, kLongest})
      .write_rows(0, count, std::as_bytes(std::span(tokens)));
  file.create_dataset("/prefix_mask", h5::ElementType::of(h5::Kind::u8), {count, kLongest})
      .write_rows(0, count, std::as_bytes(std::span(mask)));
  file.close();
}

/// Prompts of 1 to kLongest tokens.
std::vector<std::vector<TokenId>> prompts_of_all_lengths(std::uint64_t count,
                                                         std::int64_t vocab_size) {
  std::vector<std::vector<TokenId>> prompts;
  for (std::uint64_t row = 0; row < count; ++row) {
    prompts.push_back(test::walk(1 + row * 29 % kLongest, vocab_size, row));
  }
  return prompts;
}

/// Prompts that begin with the same tokens (sharing.sh).
std::vector<std::vector<TokenId>> prompts_that_begin_alike(std::int64_t vocab_size) {
  constexpr std::size_t kCommon = 40;
  constexpr std::uint64_t kAlike = 9;
  std::vector<std::vector<TokenId>> prompts;
  for (std::uint64_t row = 0; row < kAlike; ++row) {
    std::vector<TokenId>& prompt = prompts.emplace_back(test::walk(kCommon, vocab_size, 1));
    const std::vector<TokenId> own = test::walk(1 + row, vocab_size, 100 + row);
    prompt.insert(prompt.end(), own.begin(), own.end());
  }
  return prompts;
}

}  // namespace
}  // namespace gridmill

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: make_models FOLDER\n", stderr);
    return 64;
  }
  const std::string folder = std::string(argv[1]) + "/";
  gridmill::write_model(folder + "llama8.h5", gridmill::test::llama_config());
  gridmill::write_model(folder + "xlstm8.h5", gridmill::test::xlstm_config());
  using gridmill::WeightCodes;
  for (const auto& [name, config] : {std::pair{"llama8", gridmill::test::llama_config()},
                                     std::pair{"xlstm8", gridmill::test::xlstm_config()}}) {
    gridmill::write_coded_model(folder + name + "-int8.h5", config, {WeightCodes::int8, 32});
    gridmill::write_coded_model(folder + name + "-int4.h5", config, {WeightCodes::int4, 32});
  }
  gridmill::write_model(folder + "mamba8.h5", gridmill::test::mamba_config());
  gridmill::write_model(folder + "delta8.h5", gridmill::test::delta_config());
  gridmill::write_model(folder + "beside8.h5", gridmill::test::beside_config());
  gridmill::write_model(folder + "bias8.h5", gridmill::test::biased_head_config());
  gridmill::write_model(folder + "mamba_long.h5",
                        gridmill::long_config(gridmill::test::mamba_config()));
  gridmill::write_model(folder + "delta_long.h5",
                        gridmill::long_config(gridmill::test::delta_config()));
  gridmill::write_prompts(folder + "prompts.h5",
                          gridmill::prompts_of_all_lengths(gridmill::kPrompts, 300));
  gridmill::write_prompts(folder + "prompt.h5", gridmill::prompts_of_all_lengths(1, 300));
  gridmill::write_prompts(folder + "alike.h5", gridmill::prompts_that_begin_alike(300));
}
