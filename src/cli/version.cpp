#include "cli/version.hpp"

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/build_info/version.hpp"
#include "gridmill/kernels/backend.hpp"

namespace gridmill::cli {

namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

std::string kernel_target() {
  const auto backend = make_backend("auto", {.compute_dtype = DType::bf16});
  const std::string reason = backend->target_reason();
  return fmt::format("{} ({})", backend->name(), reason.empty() ? backend->target() : reason);
}

std::string or_absent(const std::string& library_version) {
  return library_version.empty() ? "not built in" : library_version;
}

}  // namespace

std::string version_text(const LibraryVersions& libraries) {
  const AcceleratorVersions accelerator = accelerator_versions();
  return fmt::format(
      "gridmill {} ({})\ncompiler: {}\nMPI: {}\nHDF5: {}\nCUDA: {}\nNCCL: {}\nkernels: {}\n",
      version(), git_hash(), compiler(), or_absent(libraries.mpi), or_absent(libraries.hdf5),
      or_absent(accelerator.cuda), or_absent(accelerator.nccl), kernel_target());
}

}  // namespace gridmill::cli
