#include "kernels/cpu/memory.hpp"

#include <sys/mman.h>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::cpu {

Buffer allocate_zeroed(std::size_t size_bytes) {
  const std::size_t mapped = size_bytes == 0 ? 1 : size_bytes;
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw ResourceError(
        fmt::format("cannot allocate {} MiB; use fewer slots, a shorter max length or more memory",
                    size_bytes >> 20));
  }
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  // A wish: without huge pages everything works, with more TLB misses.
  if (mapped >= kHugePage) static_cast<void>(madvise(memory, mapped, MADV_HUGEPAGE));
  return {static_cast<std::byte*>(memory), size_bytes,
          [mapped](std::byte* data) { munmap(data, mapped); }};
}

}  // namespace gridmill::cpu
