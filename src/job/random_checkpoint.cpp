#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gridmill/checkpoint/checkpoint_writer.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/model/model.hpp"
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

}  // namespace

void write_random_checkpoint(const std::string& path, const Json& config, DType dtype) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  std::vector<CheckpointDescription::Parameter> parameters;
  for (const ParameterSpec& spec : make_model(config)->parameters(1, 0).stored) {
    parameters.push_back({.spec = spec, .dtype = dtype});
  }
  CheckpointWriter writer(path, {.model = config,
                                 .parameters = parameters,
                                 .files = {},
                                 .tokenizer_kind = {},
                                 .tokenizer = {}});
  std::uint64_t state = 1;
  std::vector<float> values;
  std::vector<Bf16> rounded;
  for (const auto& [spec, stored] : parameters) {
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
      if (stored == DType::fp32) {
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
