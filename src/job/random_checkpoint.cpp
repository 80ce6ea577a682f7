#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/fp16.hpp"
#include "gridmill/checkpoint/checkpoint_writer.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/quantize.hpp"
#include "job/random_checkpoint_detail.hpp"

namespace gridmill::job_detail {

namespace {

/// SplitMix64 of Steele, Lea and Flood, 2014.
std::uint64_t next_random(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15ULL;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// Four values to a random word, uniform with a standard deviation of 0.02.
void fill_random(std::span<float> values, std::uint64_t& state) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i % 4 == 0) bits = next_random(state);
    values[i] = (static_cast<float>(bits & 0xFFFF) / 65536.0F - 0.5F) * kRandomWidth;
    bits >>= 16;
  }
}

bool is_norm_weight(const std::string& name) { return name.ends_with("norm"); }

/// Uniform codes, and one scale that gives them a standard deviation of 0.02.
void write_random_codes(const CheckpointDescription::Parameter& parameter, std::uint64_t& state,
                        CheckpointWriter& writer) {
  const bool int8 = parameter.format.codes == WeightCodes::int8;
  const std::int64_t inputs = parameter.spec.shape[1];
  std::vector<std::byte> codes(
      static_cast<std::size_t>(code_bytes(parameter.format.codes, inputs)));
  const std::vector<std::uint16_t> scales(
      static_cast<std::size_t>(groups_in(inputs, parameter.block, parameter.format.group)),
      fp32_to_fp16(kRandomWidth / (int8 ? 255.0F : 16.0F)));
  for (std::int64_t row = 0; row < parameter.spec.shape[0]; ++row) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
      if (i % 8 == 0) bits = next_random(state);
      // Code -128 does not occur; any byte is two codes of 4 bits.
      const auto byte = static_cast<std::uint8_t>(bits & 0xFFU);
      codes[i] = static_cast<std::byte>(int8 && byte == 0x80U ? 0x81U : byte);
      bits >>= 8U;
    }
    writer.append(parameter.spec.name, codes);
    writer.append_scales(parameter.spec.name, std::as_bytes(std::span(scales)));
  }
}

}  // namespace

void write_random_checkpoint(const std::string& path, const Json& config, DType dtype,
                             const WeightFormat& format) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  std::vector<CheckpointDescription::Parameter> parameters;
  const ModelParameters model = make_model(config)->parameters(1, 0);
  std::map<std::string, std::int64_t> coded;
  if (format.coded()) coded = codable_parameters(model);
  for (const ParameterSpec& spec : model.stored) {
    const auto block = coded.find(spec.name);
    parameters.push_back({.spec = spec,
                          .dtype = dtype,
                          .format = block == coded.end() ? WeightFormat{} : format,
                          .block = block == coded.end() ? 0 : block->second});
  }
  CheckpointWriter writer(path, {.model = config,
                                 .parameters = parameters,
                                 .files = {},
                                 .tokenizer_kind = {},
                                 .tokenizer = {}});
  std::uint64_t state = 1;
  std::vector<float> values;
  std::vector<Bf16> rounded;
  for (const CheckpointDescription::Parameter& parameter : parameters) {
    const ParameterSpec& spec = parameter.spec;
    if (parameter.format.coded()) {
      write_random_codes(parameter, state, writer);
      continue;
    }
    std::size_t left = 1;
    for (const std::int64_t extent : spec.shape) left *= static_cast<std::size_t>(extent);
    while (left > 0) {
      values.resize(std::min(left, kPiece));
      left -= values.size();
      if (is_norm_weight(spec.name)) {
        std::fill(values.begin(), values.end(), 1.0F);
      } else {
        fill_random(values, state);
      }
      if (parameter.dtype == DType::fp32) {
        writer.append(spec.name, std::as_bytes(std::span(values)));
        continue;
      }
      rounded.resize(values.size());
      std::transform(values.begin(), values.end(), rounded.begin(), fp32_to_bf16);
      writer.append(spec.name, std::as_bytes(std::span(rounded)));
    }
  }
  writer.finish();
}

}  // namespace gridmill::job_detail
