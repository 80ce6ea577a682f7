#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gridmill/base/check.hpp"
#include "gridmill/base/numerics.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/kv_cache.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::reference {

using namespace kernels_detail;

namespace {

/// Keys are visited in blocks at absolute positions 64 b.
constexpr std::int64_t kKeyBlock = 64;
using KeyBlock = std::array<float, kKeyBlock>;
using Part = ReferenceKvCache::Part;

/// Clamps a head to [-clip, clip], if asked; NaN stays.
void clamp(float* head, const Attention& attention) {
  if (attention.clip == 0) return;
  for (int i = 0; i < attention.head_dim; ++i) {
    if (head[i] > attention.clip) head[i] = attention.clip;
    if (head[i] < -attention.clip) head[i] = -attention.clip;
  }
}

/// Norm (if there is one), clamp and rotation of head `index` in place; section 4.
void prepare_head(float* head, const Attention& attention, ConstDeviceVector norm, int index,
                  const ConstDeviceMatrix& rotary, std::int64_t position) {
  const int width = attention.head_dim;
  if (!norm.empty()) {
    const bool own = norm.size > width;
    normalize({.kind = attention.norm_kind,
               .eps = attention.norm_eps,
               .weight = {norm.data + (own ? index * width : 0), width},
               .bias = {}},
              head, width, head);
  }
  clamp(head, attention);
  if (rotary.data == nullptr) return;
  const auto half = static_cast<int>(rotary.columns / 2);
  const float* cosines = rotary.data + position * rotary.stride;
  const float* sines = cosines + half;
  for (int i = 0; i < half; ++i) {
    const float a = head[i];
    const float b = head[i + half];
    head[i] = std::fma(a, cosines[i], -(b * sines[i]));
    head[i + half] = std::fma(b, cosines[i], a * sines[i]);
  }
}

/// One query head against one kv head of a slot; section 5.
class HeadAttention {
 public:
  HeadAttention(const Attention& attention, const ReferenceKvCache& cache, int layer, SlotId slot,
                int kv_head, DType dtype)
      : attention_(attention),
        cache_(cache),
        layer_(layer),
        slot_(slot),
        kv_head_(kv_head),
        dtype_(dtype),
        row_(static_cast<std::size_t>(attention.head_dim)) {}

  /// out [head_dim] = softmax-weighted values that `position` sees. `query` is rounded.
  /// @param sink  its score, or nullptr.
  void attend(const float* query, std::int64_t position, const float* sink, float* out) {
    const std::int64_t first =
        attention_.window > 0 ? std::max<std::int64_t>(0, position - attention_.window + 1) : 0;
    float m = -std::numeric_limits<float>::infinity();
    float l = 0.0F;
    std::fill_n(out, attention_.head_dim, 0.0F);
    for (std::int64_t block = first / kKeyBlock; block * kKeyBlock <= position; ++block) {
      const std::int64_t begin = std::max(first, block * kKeyBlock);
      const std::int64_t end = std::min(position + 1, (block + 1) * kKeyBlock);
      KeyBlock p{};  // scores, then probabilities; invisible keys keep 0
      float largest = m;
      for (std::int64_t j = begin; j < end; ++j) {
        const float s = score(query, j);
        p[static_cast<std::size_t>(j % kKeyBlock)] = s;
        largest = larger(largest, s);
      }
      const float c = exp_f32(m - largest);
      for (std::int64_t j = begin; j < end; ++j) {
        float& value = p[static_cast<std::size_t>(j % kKeyBlock)];
        value = exp_f32(value - largest);
      }
      l = std::fma(l, c, lane_sum(p));
      for (int d = 0; d < attention_.head_dim; ++d) out[d] = out[d] * c;
      for (std::int64_t j = begin; j < end; ++j) {
        cache_.read(layer_, slot_, Part::value, j, kv_head_, row_.data());
        fma_loops().multiply_add(p[static_cast<std::size_t>(j % kKeyBlock)], row_.data(), out,
                                 attention_.head_dim);
      }
      m = largest;
    }
    if (sink != nullptr) {
      const float largest = larger(m, *sink);
      const float c = exp_f32(m - largest);
      l = std::fma(l, c, exp_f32(*sink - largest));
      for (int d = 0; d < attention_.head_dim; ++d) out[d] = out[d] * c;
    }
    for (int d = 0; d < attention_.head_dim; ++d) out[d] = out[d] / l;
  }

 private:
  float score(const float* query, std::int64_t key_position) {
    cache_.read(layer_, slot_, Part::key, key_position, kv_head_, row_.data());
    const FmaLoops& loops = fma_loops();
    const float dot = (dtype_ == DType::bf16 ? loops.dot_bf16 : loops.dot_fp32)(
        query, row_.data(), attention_.head_dim);
    return soft_cap_f32(dot * attention_.scale, attention_.score_cap);
  }

  const Attention& attention_;
  const ReferenceKvCache& cache_;
  int layer_;
  SlotId slot_;
  int kv_head_;
  DType dtype_;
  std::vector<float> row_;  ///< one key or value
};

}  // namespace

void ReferenceBackend::attend(Stream& /*stream*/, std::span<const TokenSpan> spans,
                              const Attention& attention, int layer, DeviceMatrix qkv,
                              KvCache& cache, PackedRows out) {
  auto* slots = dynamic_cast<ReferenceKvCache*>(&cache);
  GRIDMILL_ASSERT(slots != nullptr, "the cache belongs to another backend");
  check_attention(attention, qkv, slots->shape(), out);
  check_spans(spans, qkv.rows);
  const FloatModeScope mode(dtype_);
  const int head_dim = attention.head_dim;
  const int group = attention.heads / attention.kv_heads;  // query heads of a key-value head
  GRIDMILL_ASSERT(group > 0, "fewer heads than kv heads");
  const int keys_at = attention.heads * head_dim;
  const int values_at = keys_at + attention.kv_heads * head_dim;
  const int gates_at = values_at + attention.kv_heads * head_dim;
  std::vector<float> result(static_cast<std::size_t>(head_dim));
  for (const TokenSpan& span : spans) {
    check_positions(span, attention);
    const ConstDeviceMatrix& rotary = attention.rotary_of(span);
    // Token by token: a cache with a window has no room for the keys behind it.
    for (std::int64_t t = 0; t < span.tokens; ++t) {
      float* row = qkv.data + (span.row + t) * qkv.stride;
      const std::int64_t position = span.position + t;
      for (int h = 0; h < attention.heads; ++h) {
        float* query = row + h * head_dim;
        prepare_head(query, attention, attention.q_norm, h, rotary, position);
        for (int d = 0; d < head_dim; ++d) query[d] = rounded(query[d], dtype_);
      }
      for (int h = 0; h < attention.kv_heads; ++h) {
        prepare_head(row + keys_at + h * head_dim, attention, attention.k_norm, h, rotary,
                     position);
        clamp(row + values_at + h * head_dim, attention);
      }
      slots->write(layer, span.slot, Part::key, position, row + keys_at);
      slots->write(layer, span.slot, Part::value, position, row + values_at);
      for (int h = 0; h < attention.heads; ++h) {
        HeadAttention head(attention, *slots, layer, span.slot, h / group, dtype_);
        const float* sink = attention.sinks.empty() ? nullptr : attention.sinks.data + h;
        head.attend(row + h * head_dim, position, sink, result.data());
        if (attention.output_gate) {
          const float* gate = row + gates_at + h * head_dim;
          for (std::size_t d = 0; d < result.size(); ++d) {
            result[d] = result[d] * sigmoid_f32(gate[d]);
          }
        }
        write_packed(out, span.row + t, h * head_dim, result.data(), head_dim, dtype_);
      }
    }
  }
}

}  // namespace gridmill::reference
