#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

/// A kernel without its type.
using AnyKernel = void (*)();

/// One piece of work of a stream as a value: what it is made of can be compared and kept.
struct Work {
  enum class Kind : std::uint8_t { kernel, copy_from_pinned, copy_to_pinned };
  Kind kind = Kind::kernel;
  AnyKernel kernel = nullptr;
  /// Runs the kernel's code for one thread of the emulation; none on a device.
  void (*call)(AnyKernel kernel, const std::byte* args) = nullptr;
  /// Whether the arguments of two launches of the kernel are equal.
  bool (*same)(const std::byte* args, const std::byte* others) = nullptr;
  LaunchGrid grid;
  int threads = 0;
  std::size_t shared_bytes = 0;
  std::size_t args_at = 0;  ///< first byte of the arguments in WorkList::bytes
  const std::byte* source = nullptr;
  std::byte* target = nullptr;
  std::size_t size_bytes = 0;  ///< of the arguments, or of the copy

  bool operator==(const Work& other) const = default;
};

/// Work of a stream that has been kept back, to be submitted together (GraphCache).
struct WorkList {
  std::vector<Work> items;
  std::vector<std::byte> bytes;

  /// Arguments are compared member by member: what lies between members is never looked at.
  template <std::equality_comparable Args>
  void add(void (*kernel)(Args), void (*call)(AnyKernel, const std::byte*), LaunchGrid grid,
           int threads, std::size_t shared_bytes, const Args& args) {
    static_assert(std::is_trivially_copyable_v<Args> && alignof(Args) <= kAlignment);
    const std::size_t at = (bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
    bytes.resize(at + sizeof args);
    std::memcpy(bytes.data() + at, &args, sizeof args);
    Work work;
    work.kernel = reinterpret_cast<AnyKernel>(kernel);
    work.call = call;
    work.same = [](const std::byte* one, const std::byte* other) {
      return *reinterpret_cast<const Args*>(one) == *reinterpret_cast<const Args*>(other);
    };
    work.grid = grid;
    work.threads = threads;
    work.shared_bytes = shared_bytes;
    work.args_at = at;
    work.size_bytes = sizeof args;
    items.push_back(work);
  }
  void add_copy(Work::Kind kind, const std::byte* source, std::byte* target,
                std::size_t size_bytes) {
    Work work;
    work.kind = kind;
    work.source = source;
    work.target = target;
    work.size_bytes = size_bytes;
    items.push_back(work);
  }
  void clear() {
    items.clear();
    bytes.clear();
  }
  bool operator==(const WorkList& other) const {
    return items == other.items && std::all_of(items.begin(), items.end(), [&](const Work& work) {
             return work.same == nullptr ||
                    work.same(bytes.data() + work.args_at, other.bytes.data() + work.args_at);
           });
  }

 private:
  static constexpr std::size_t kAlignment = 16;
};

}  // namespace gridmill::cuda
