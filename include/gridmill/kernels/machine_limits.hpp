#pragma once

namespace gridmill {

/// Measured limits of this host's CPU and memory, in all on some number of threads.
struct MachineLimits {
  double read_bytes_per_s = 0;    ///< ascending reads of memory
  double update_bytes_per_s = 0;  ///< reads and writes in place, both counted
  double bf16_flop_per_s = 0;     ///< products of pairs on registers
  double fp32_flop_per_s = 0;     ///< fused multiply-adds on registers
  double int8_op_per_s = 0;       ///< products of codes on registers; 0 where there are none
};

/// Measures them now, for about 0.3 s: the fastest quarter of some short loops with the
/// instructions of the cpu backend's kernels. Memory of max(192 MiB, 96 MiB a thread) is taken
/// meanwhile and given back, so that nothing stays in a cache.
/// @throws ResourceError without that memory, or on a CPU that the cpu backend does not run on.
[[nodiscard]] MachineLimits measure_machine_limits(int threads);

}  // namespace gridmill
