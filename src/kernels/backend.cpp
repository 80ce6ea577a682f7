#include "gridmill/kernels/backend.hpp"

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "kernels/cuda_entry.hpp"
#include "kernels/reference/reference_backend.hpp"
#ifdef GRIDMILL_HAVE_CPU_BACKEND
#include "kernels/cpu/cpu_backend.hpp"
#endif

namespace gridmill {

namespace {

std::unique_ptr<Backend> make_reference(const BackendOptions& options) {
  if (options.kernel_target != "auto") {
    throw UsageError(
        fmt::format("kernel target \"{}\" belongs to the cpu backend; the reference "
                    "backend takes \"auto\" only",
                    options.kernel_target));
  }
  return std::make_unique<reference::ReferenceBackend>(options.compute_dtype);
}

std::unique_ptr<Backend> make_cpu([[maybe_unused]] const BackendOptions& options) {
#ifdef GRIDMILL_HAVE_CPU_BACKEND
  return make_cpu_backend(options);
#else
  throw ResourceError(
      "backend cpu is unsupported: this gridmill was built without it; use "
      "backend reference");
#endif
}

/// The cpu backend needs AVX2 with fma (any x86 server CPU since 2013).
bool has_cpu_backend() {
#ifdef GRIDMILL_HAVE_CPU_BACKEND
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

}  // namespace

MachineLimits Backend::machine_limits([[maybe_unused]] int threads) {
#ifdef GRIDMILL_HAVE_CPU_BACKEND
  return measure_machine_limits(threads);
#else
  throw ResourceError(
      "the limits of this machine are measured with the cpu backend's loops, and this gridmill was "
      "built without it");
#endif
}

std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options) {
  if (options.compute_dtype == DType::fp16) {
    throw UsageError("compute dtype fp16 is unsupported; use fp32 or bf16");
  }
  if (options.threads < 1) {
    throw UsageError(fmt::format("a backend needs at least 1 thread, not {}", options.threads));
  }
  if (name == "reference") return make_reference(options);
  if (name == "cpu") return make_cpu(options);
  if (name == "cuda") return make_cuda_backend(options);
  if (name == "auto") {
    // A kernel target asks for the cpu backend.
    if (options.kernel_target == "auto" && has_cuda_device()) return make_cuda_backend(options);
    return has_cpu_backend() ? make_cpu(options) : make_reference(options);
  }
  throw UsageError(
      fmt::format("unknown backend \"{}\"; choose auto, cpu, cuda or reference", name));
}

}  // namespace gridmill
