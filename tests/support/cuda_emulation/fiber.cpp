#include "support/cuda_emulation/fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#ifndef __x86_64__
#error "the emulation switches stacks with x86-64 instructions"
#endif

// void gridmill_fiber_switch(void** save, void* load): leaves one stack for another. Keeps what the
// System V ABI wants kept; the floating-point modes are the same everywhere.
asm(R"(
.text
.type gridmill_fiber_switch, @function
gridmill_fiber_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size gridmill_fiber_switch, .-gridmill_fiber_switch
.type gridmill_fiber_entry, @function
gridmill_fiber_entry:
  movq %r12, %rdi
  call *%r13
  ud2
.size gridmill_fiber_entry, .-gridmill_fiber_entry
)");
extern "C" void gridmill_fiber_switch(void** save, void* load);
extern "C" void gridmill_fiber_entry();

namespace gridmill::cuda::emulation {

namespace {
/// Pages take memory only once they are touched.
constexpr std::size_t kStackBytes = std::size_t{128} << 10;
}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  stack_ = static_cast<std::byte*>(memory);
}

Fiber::~Fiber() { munmap(stack_, kStackBytes); }

void Fiber::start(void (*entry)(void*), void* argument) {
#ifdef __SANITIZE_ADDRESS__
  // The frames of the run before were left, not returned from: their marks are still there.
  __asan_unpoison_memory_region(stack_, kStackBytes);
#endif
  // What the switch pops: r15, r14, r13 (entry), r12 (argument), rbx, rbp, return address. With two
  // words above, the stack is aligned to 16 bytes at the call in gridmill_fiber_entry.
  auto** top = reinterpret_cast<void**>(stack_ + kStackBytes) - 9;
  for (int i = 0; i < 9; ++i) top[i] = nullptr;
  top[2] = reinterpret_cast<void*>(entry);
  top[3] = argument;
  top[6] = reinterpret_cast<void*>(&gridmill_fiber_entry);
  own_ = top;
}

void Fiber::resume() { gridmill_fiber_switch(&caller_, own_); }

void Fiber::suspend() { gridmill_fiber_switch(&own_, caller_); }

}  // namespace gridmill::cuda::emulation
