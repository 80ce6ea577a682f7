#include "kernels/cpu/dispatch.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/philox.hpp"
#include "kernels/cpu/float_mode.hpp"
#include "kernels/cpu/trial.hpp"

namespace gridmill::cpu {

namespace {

// Every CPU with AVX2 has F16C, which clang 14 cannot query.
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

struct Target {
  std::string_view name;
  bool runs_here;
  const KernelTable& fp32;
  const KernelTable& bf16;
};

/// Widest first.
std::array<Target, 3> targets() {
  return {{{"avx512bf16", has_avx512bf16(), avx512bf16::kFp32Kernels, avx512bf16::kBf16Kernels},
           {"avx512", has_avx512(), avx512::kFp32Kernels, avx512::kBf16Kernels},
           {"avx2", has_avx2(), avx2::kFp32Kernels, avx2::kBf16Kernels}}};
}

float high_half(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xFFFF0000U); }
float low_half(std::uint32_t pair) { return std::bit_cast<float>(pair << 16); }

/// The same bits, or two NaNs.
bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) ||
         std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

}  // namespace

bool pair_product_is_exact(const KernelTable& kernels) {
  const FloatMode mode(DType::bf16);
  constexpr int kLanes = 64;
  constexpr std::uint32_t kRounds = 64;
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    alignas(64) std::array<std::uint32_t, kLanes> x{};
    alignas(64) std::array<std::uint32_t, kLanes> w{};
    alignas(64) std::array<float, kLanes> y{};
    std::array<float, kLanes> expected{};
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const auto words = philox4x32({static_cast<std::uint32_t>(lane), round, 0, 0}, {1, 2});
      x[lane] = words[0];
      w[lane] = words[1];
      std::uint32_t start = words[2];
      // Every second round near 1, where products and sums meet; else any bits, so that overflow,
      // underflow, subnormals and NaN occur.
      if (round % 2 == 0) {
        x[lane] = (x[lane] & 0x83FF83FFU) | 0x3C003C00U;
        w[lane] = (w[lane] & 0x83FF83FFU) | 0x3C003C00U;
        start = (start & 0x83FFFFFFU) | 0x3C000000U;
      }
      y[lane] = std::bit_cast<float>(start);
      expected[lane] = std::fma(low_half(x[lane]), low_half(w[lane]),
                                std::fma(high_half(x[lane]), high_half(w[lane]), y[lane]));
    }
    kernels.pair_product(x.data(), w.data(), y.data(), kLanes);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      if (!same(y[lane], expected[lane])) return false;
    }
  }
  return true;
}

namespace {

/// The best kernels for codes among those that the CPU has, or, with a target, that belong to it.
/// vpdpbusd does in one instruction what the others need several for: nothing to measure.
void add_coded_kernels(std::string_view target, KernelTable& table) {
  if (target == "avx2" || !has_avx512()) {
    table.int8 = avx2::kInt8Kernels;
    table.int4 = avx2::kInt4Kernels;
  } else if (target == "avx512" || !__builtin_cpu_supports("avx512vnni")) {
    table.int8 = avx512::kInt8Kernels;
    table.int4 = avx512::kInt4Kernels;
  } else {
    table.int8 = avx512vnni::kInt8Kernels;
    table.int4 = avx512vnni::kInt4Kernels;
  }
}

KernelChoice widest_fp32() {
  for (const Target& candidate : targets()) {
    if (candidate.runs_here) {
      return {candidate.fp32, fmt::format("{}: the widest of this CPU", candidate.name)};
    }
  }
  return {};
}

/// The fastest by a tenth of those with the right bits; among equals the widest.
KernelChoice fastest_bf16() {
  constexpr double kWorthIt = 1.1;
  KernelChoice choice;
  double best = 0;
  std::string measured;
  for (const Target& candidate : targets()) {
    if (!candidate.runs_here) continue;
    const ProductTrial trial = try_product(candidate.bf16);
    if (!trial.exact || !pair_product_is_exact(candidate.bf16)) {
      log::warn(
          "kernel target {}: this CPU's bf16 products differ from their specification; another "
          "target is used",
          candidate.name);
      continue;
    }
    measured += fmt::format("{}{} {:.0f}", measured.empty() ? "" : ", ", candidate.name,
                            trial.flop_per_s / 1e9);
    if (best == 0 || trial.flop_per_s > kWorthIt * best) {
      best = trial.flop_per_s;
      choice.table = candidate.bf16;
    }
  }
  if (best == 0) return {};
  choice.why =
      fmt::format("{}: the fastest here, Gflop/s in bf16: {}", choice.table.target, measured);
  return choice;
}

KernelChoice choose_among_all(DType compute_dtype) {
  KernelChoice choice = compute_dtype == DType::bf16 ? fastest_bf16() : widest_fp32();
  if (choice.table.target == nullptr) {
    throw ResourceError(
        "backend cpu needs AVX2 with fma, which this CPU does not have; use "
        "backend reference");
  }
  return choice;
}

KernelChoice choose_named(std::string_view target, DType compute_dtype) {
  std::string known;
  for (const Target& candidate : targets()) {
    known += fmt::format(", {}", candidate.name);
    if (target != candidate.name) continue;
    const KernelTable& table = compute_dtype == DType::bf16 ? candidate.bf16 : candidate.fp32;
    if (!candidate.runs_here) {
      throw ResourceError(fmt::format(
          "kernel target {} needs instructions that this CPU does not have; use \"auto\"", target));
    }
    if (compute_dtype == DType::bf16 && !pair_product_is_exact(table)) {
      throw ResourceError(fmt::format(
          "kernel target {}: this CPU's bf16 products differ from their specification; use "
          "\"auto\"",
          target));
    }
    return {table, fmt::format("{}: asked for", target)};
  }
  throw UsageError(fmt::format("unknown kernel target \"{}\"; choose auto{}", target, known));
}

}  // namespace

KernelChoice choose_kernels(std::string_view target, DType compute_dtype) {
  KernelChoice choice =
      target == "auto" ? choose_among_all(compute_dtype) : choose_named(target, compute_dtype);
  if (compute_dtype == DType::bf16) add_coded_kernels(target, choice.table);
  return choice;
}

KernelTable kernels_for(std::string_view target, DType compute_dtype) {
  return choose_kernels(target, compute_dtype).table;
}

}  // namespace gridmill::cpu
