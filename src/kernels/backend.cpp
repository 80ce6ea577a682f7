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
  return std::make_unique<reference::ReferenceBackend>(options.compute_dtype,
                                                       options.int8_products);
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

std::string_view backend_of(std::string_view name, std::string_view kernel_target) {
  if (name != "auto") return name;
  // A kernel target selects the cpu backend.
  if (kernel_target == "auto" && has_cuda_device()) return "cuda";
  return has_cpu_backend() ? "cpu" : "reference";
}

std::unique_ptr<Backend> make_backend(std::string_view name, const BackendOptions& options) {
  if (options.compute_dtype == DType::fp16) {
    throw UsageError("compute dtype fp16 is unsupported; use fp32 or bf16");
  }
  if (options.int8_products && options.compute_dtype != DType::bf16) {
    throw UsageError("int8 products need compute dtype bf16 for all else");
  }
  if (options.threads < 1) {
    throw UsageError(fmt::format("a backend needs at least 1 thread, not {}", options.threads));
  }
  name = backend_of(name, options.kernel_target);
  if (name == "reference") return make_reference(options);
  if (name == "cpu") return make_cpu(options);
  if (name == "cuda") {
    if (options.int8_products) {
      throw UsageError(
          "int8 products are unsupported on the cuda backend; use --compute-dtype bf16, which "
          "dequantises the weights when they are loaded");
    }
    return make_cuda_backend(options);
  }
  throw UsageError(
      fmt::format("unknown backend \"{}\"; choose auto, cpu, cuda or reference", name));
}

}  // namespace gridmill
