#include "kernels/cpu/memory.hpp"

#include <sys/mman.h>

#include <cstdint>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::cpu {

Buffer allocate_zeroed(std::size_t size_bytes) {
  // The kernel puts huge pages only where a mapping covers an aligned 2 MiB.
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const bool huge = size_bytes >= kHugePage;
  const std::size_t mapped = (size_bytes == 0 ? 1 : size_bytes) + (huge ? kHugePage : 0);
  void* memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw ResourceError(
        fmt::format("cannot allocate {} MiB; use fewer slots, a shorter max length or more memory",
                    size_bytes >> 20));
  }
  auto* data = static_cast<std::byte*>(memory);
  if (huge) {
    // A wish: without huge pages everything works, with more TLB misses.
    static_cast<void>(madvise(memory, mapped, MADV_HUGEPAGE));
    const std::size_t past = reinterpret_cast<std::uintptr_t>(memory) % kHugePage;
    data += past == 0 ? 0 : kHugePage - past;
  }
  return {data, size_bytes, [memory, mapped](std::byte*) { munmap(memory, mapped); }};
}

}  // namespace gridmill::cpu
