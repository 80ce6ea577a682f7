// Operations on single rows: packing, norms, embedding look-up, and the element-wise parts of the
// older mLSTM layer. Contract: docs/numerics.md, section 3: sums run in 16 lanes by column mod 16
// and join by the fixed tree. None of them matters beside the products: a row of D values is read
// from L2 and written once.
#pragma once

#include "kernels/cpu/math.hpp"
#include "kernels/cpu/packed.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

GRIDMILL_SIMD float square_root(float x) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x))); }
GRIDMILL_SIMD int lanes_left(std::int64_t n, std::int64_t i) {
  return static_cast<int>(smaller<std::int64_t>(16, n - i));
}

/// Offset and factor of a norm.
struct NormFactors {
  float mean, scale;
};
inline NormFactors norm_factors(NormKind kind, float eps, const float* x, std::int64_t n) {
  const auto count = static_cast<float>(n);
  float mean = 0;
  if (kind == NormKind::layer) {
    F32x16 sum = zero();
    std::int64_t i = 0;
    for (; i + 16 <= n; i += 16) sum = sum + load(x + i);
    // Lanes past the end keep their sum, whatever its sign of zero.
    if (i < n) {
      const int left = lanes_left(n, i);
      sum = select(lanes_between(0, left), sum + load_first(x + i, left), sum);
    }
    mean = tree_sum(sum) / count;
  }
  F32x16 squares = zero();
  for (std::int64_t i = 0; i < n; i += 16) {
    const int left = lanes_left(n, i);
    F32x16 d = load_first(x + i, left);
    if (kind == NormKind::layer) {
      d = select(lanes_between(0, left), d - splat(mean), zero());
    }
    squares = fma(d, d, squares);
  }
  return {mean, 1.0F / square_root(tree_sum(squares) / count + eps)};
}

/// y = norm(x) * scale over n values. `weight` and `bias` may be nullptr.
inline void norm_row(NormKind kind, float eps, const float* weight, const float* bias,
                     const float* x, std::int64_t n, float* y, float scale = 1.0F) {
  const NormFactors factors = norm_factors(kind, eps, x, n);
  for (std::int64_t i = 0; i < n; i += 16) {
    const int left = lanes_left(n, i);
    F32x16 d = load_first(x + i, left);
    if (kind == NormKind::layer) d = d - splat(factors.mean);
    F32x16 value = d * splat(factors.scale);
    if (bias != nullptr) {
      const F32x16 w = weight != nullptr ? load_first(weight + i, left) : splat(1.0F);
      value = fma(value, w, load_first(bias + i, left));
    } else if (weight != nullptr) {
      value = value * load_first(weight + i, left);
    }
    store_first(y + i, value * splat(scale), left);
  }
}
GRIDMILL_SIMD void norm_row(const Norm& norm, const float* x, std::int64_t n, float* y) {
  norm_row(norm.kind, norm.eps, norm.weight.size == 0 ? nullptr : norm.weight.data,
           norm.bias.size == 0 ? nullptr : norm.bias.data, x, n, y, norm.scale);
}

template <class Steps>
void pack_rows(const PackArgs& args, const Worker& worker) {
  const Share mine = share_of(args.out.rows, worker);
  auto* whole = reinterpret_cast<float*>(worker.scratch);
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    const PackedRow<Steps> to = packed_row<Steps>(args.out, row);
    if (args.source_count == 1) {
      const ConstDeviceMatrix& x = args.sources[0];
      write_row(to, 0, x.data + row * x.stride, args.out.inputs);
      continue;
    }
    std::int64_t column = 0;
    for (std::size_t s = 0; s < args.source_count; ++s) {
      const ConstDeviceMatrix& x = args.sources[s];
      for (std::int64_t i = 0; i < x.columns; i += 16) {
        const int left = lanes_left(x.columns, i);
        store_first(whole + column + i, load_first(x.data + row * x.stride + i, left), left);
      }
      column += x.columns;
    }
    write_row(to, 0, whole, args.out.inputs);
  }
}

template <class Steps>
void norm_pack(const NormArgs& args, const Worker& worker) {
  const Share mine = share_of(args.packed_out.rows, worker);
  auto* values = reinterpret_cast<float*>(worker.scratch);
  for (std::int64_t i = mine.first; i < mine.end; ++i) {
    const std::int64_t row = args.rows == nullptr ? i : args.rows[i];
    norm_row(args.norm, args.x.data + row * args.x.stride, args.x.columns, values);
    write_row(packed_row<Steps>(args.packed_out, i), 0, values, args.x.columns);
  }
}

inline void norm_add(const NormArgs& args, const Worker& worker) {
  const Share mine = share_of(args.x.rows, worker);
  auto* values = reinterpret_cast<float*>(worker.scratch);
  const std::int64_t n = args.x.columns;
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    norm_row(args.norm, args.x.data + row * args.x.stride, n, values);
    float* to = args.added_to.data + row * args.added_to.stride;
    for (std::int64_t i = 0; i < n; i += 16) {
      const int left = lanes_left(n, i);
      store_first(to + i, load_first(to + i, left) + load_first(values + i, left), left);
    }
  }
}

inline void norm_rows(const NormArgs& args, const Worker& worker) {
  const Share mine = share_of(args.x.rows, worker);
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    norm_row(args.norm, args.x.data + row * args.x.stride, args.x.columns,
             args.added_to.data + row * args.added_to.stride);
  }
}

/// x = x_scale x (+ y_scale y, fused).
inline void scale_add(const ScaleAddArgs& args, const Worker& worker) {
  const Share mine = share_of(args.x.rows, worker);
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    float* x = args.x.data + row * args.x.stride;
    for (std::int64_t i = 0; i < args.x.columns; i += 16) {
      const int left = lanes_left(args.x.columns, i);
      F32x16 value = splat(args.x_scale) * load_first(x + i, left);
      if (args.y.data != nullptr) {
        const F32x16 y = load_first(args.y.data + row * args.y.stride + i, left);
        value = fma(splat(args.y_scale), y, value);
      }
      store_first(x + i, value, left);
    }
  }
}

/// Rows of an embedding table, or of a prepared head (columns of its panels).
template <class Steps>
void embed(const EmbedArgs& args, const Worker& worker) {
  const Share mine = share_of(args.out.rows, worker);
  constexpr bool kBf16 = Steps::kInputs == 2;
  for (std::int64_t i = mine.first; i < mine.end; ++i) {
    const std::int64_t id = args.ids[i] - args.first_id;
    if (id < 0 || id >= args.ids_held) continue;
    float* out = args.out.data + i * args.out.stride;
    const bool rows = args.layout == MatrixLayout::rows;
    const std::byte* panel = panel_at(args.table, rows ? id : id / kPanelOutputs);
    if (panel == nullptr) continue;
    // Element k stands `stride` units of k further.
    const std::int64_t lane = rows ? 0 : id % kPanelOutputs;
    const std::int64_t stride = rows ? 1 : kPanelOutputs;
    if constexpr (kBf16) {
      const auto* from = reinterpret_cast<const std::uint16_t*>(panel) + 2 * lane;
      for (std::int64_t k = 0; k < args.inputs; ++k) {
        const auto bits = static_cast<std::uint32_t>(from[k / 2 * 2 * stride + k % 2]) << 16U;
        __builtin_memcpy(out + k, &bits, 4);
      }
    } else {
      const auto* from = reinterpret_cast<const float*>(panel) + lane;
      for (std::int64_t k = 0; k < args.inputs; ++k) out[k] = from[k * stride];
    }
  }
}

/// out = act(x * weight + bias), by channel.
inline void channel_affine(const AffineArgs& args, const Worker& worker) {
  const Share mine = share_of(args.x.rows, worker);
  const std::int64_t n = args.x.columns;
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    const float* x = args.x.data + row * args.x.stride;
    float* out = args.out.data + row * args.out.stride;
    for (std::int64_t i = 0; i < n; i += 16) {
      const int left = lanes_left(n, i);
      F32x16 y = load_first(x + i, left);
      if (args.weight.size != 0) y = y * load_first(args.weight.data + i, left);
      if (args.bias.size != 0) y = y + load_first(args.bias.data + i, left);
      store_first(out + i, activate(args.activation, y), left);
    }
  }
}

/// Blocks [G, out/G, in/G] row-major: one ascending chain an output. Blocks are tiny (4 x 4 in the
/// models that have them), hence lanes run across rows: 16 rows of a column are gathered.
inline void block_diagonal(const BlockDiagonalArgs& args, const Worker& worker) {
  const std::int64_t in = args.x.columns / args.groups;
  const std::int64_t outs = args.out.columns / args.groups;
  const Share mine = share_of(args.x.rows, worker);
  for (std::int64_t row = mine.first; row < mine.end; row += 16) {
    const int rows = lanes_left(mine.end, row);
    for (std::int64_t group = 0; group < args.groups; ++group) {
      for (std::int64_t o = 0; o < outs; ++o) {
        const float* weights = args.blocks + (group * outs + o) * in;
        F32x16 acc = zero();
        alignas(64) float column[16] = {};
        for (std::int64_t k = 0; k < in; ++k) {
          const float* x = args.x.data + row * args.x.stride + group * in + k;
          for (int r = 0; r < rows; ++r) column[r] = x[r * args.x.stride];
          acc = fma(load(column), splat(weights[k]), acc);
        }
        store(column, acc);
        float* out = args.out.data + row * args.out.stride + group * outs + o;
        for (int r = 0; r < rows; ++r) out[r * args.out.stride] = column[r];
      }
    }
  }
}

/// out = (h + skip * a) * act(z), packed.
template <class Steps>
void skip_gate_pack(const SkipGateArgs& args, const Worker& worker) {
  const Share mine = share_of(args.out.rows, worker);
  auto* values = reinterpret_cast<float*>(worker.scratch);
  const std::int64_t n = args.out.inputs;
  for (std::int64_t row = mine.first; row < mine.end; ++row) {
    for (std::int64_t i = 0; i < n; i += 16) {
      const int left = lanes_left(n, i);
      F32x16 y = load_first(args.h.data + row * args.h.stride + i, left);
      if (args.skip.size != 0) {
        y = y + load_first(args.skip.data + i, left) *
                    load_first(args.a.data + row * args.a.stride + i, left);
      }
      const F32x16 z = load_first(args.z.data + row * args.z.stride + i, left);
      store_first(values + i, y * activate(args.activation, z), left);
    }
    write_row(packed_row<Steps>(args.out, row), 0, values, n);
  }
}

/// Elementary functions, element by element.
inline void elementary(const ElementaryArgs& args, const Worker& worker) {
  const Share mine = share_of(args.count / 16, worker);
  for (std::int64_t i = 16 * mine.first; i < 16 * mine.end; i += 16) {
    const F32x16 x = load(args.x + i);
    F32x16 y = x;
    if (args.activation) {
      y = activate(args.act, x);
    } else {
      switch (args.function) {
        case ElementaryFunction::exp:
          y = exp(x);
          break;
        case ElementaryFunction::log:
          y = log(x);
          break;
        case ElementaryFunction::log1p:
          y = log1p(x);
          break;
        case ElementaryFunction::log_sigmoid:
          y = log_sigmoid(x);
          break;
        case ElementaryFunction::tanh:
          y = tanh(x);
          break;
      }
    }
    store(args.y + i, y);
  }
}

/// y[i] += x[i] . w[i], pairs of bf16; count a multiple of 16.
inline void pair_product(const std::uint32_t* x, const std::uint32_t* w, float* y, int count) {
  for (int i = 0; i < count; i += 16) {
    store(y + i, dot_pairs(load_pairs(x + i), load_pairs(w + i), load(y + i)));
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
