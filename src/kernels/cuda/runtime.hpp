#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "gridmill/base/dtype.hpp"

// The part of the CUDA runtime that the backend uses, so that all of it but this implementation
// also runs on the emulation of the tests.
struct CUstream_st;
struct CUevent_st;
struct CUgraphExec_st;

namespace gridmill::cuda {

using StreamHandle = CUstream_st*;
using EventHandle = CUevent_st*;
using GraphHandle = CUgraphExec_st*;

struct WorkList;
/// Where kernels are launched: on a stream, or into a list for it if there is one.
struct LaunchStream {
  StreamHandle stream = nullptr;
  WorkList* gathered = nullptr;
};

struct LaunchGrid {
  unsigned int x = 1;
  unsigned int y = 1;
  unsigned int z = 1;
  bool operator==(const LaunchGrid& other) const = default;
};

/// Chooses the device of this process: the `node_rank`-th, or with `share` that modulo their
/// number.
/// @throws ResourceError if there is none or there are too few, or it is older than compute
/// capability 8.0.
void open_device(int node_rank, bool share);
/// Name and compute capability, e.g. "NVIDIA H100 80GB HBM3 (sm_90)".
[[nodiscard]] std::string device_name();
/// Versions of the toolkit and the driver, e.g. "13.0 (driver: none)".
[[nodiscard]] std::string runtime_version();
/// True if a device could be opened.
[[nodiscard]] bool has_device();

struct Multiprocessors {
  int count = 0;
  std::size_t shared_bytes = 0;  ///< of each, for all thread blocks on it
  std::size_t threads = 0;       ///< of each, for all of which local memory is set aside
};
/// For the device of this process.
[[nodiscard]] Multiprocessors multiprocessors();

struct DeviceMemory {
  std::size_t free_bytes = 0;
  std::size_t all_bytes = 0;
};
/// For the device of this process.
[[nodiscard]] DeviceMemory device_memory();
/// Which device of the world this process has; equal for processes that share one.
[[nodiscard]] std::array<std::byte, 16> device_identity();
/// Devices that this process sees.
[[nodiscard]] int device_count();

/// @throws ResourceError with what was asked for and what is free.
[[nodiscard]] std::byte* device_allocate(std::size_t size_bytes);
void device_free(std::byte* memory);
/// Host memory that the device copies from and to by itself. @throws ResourceError
[[nodiscard]] std::byte* pinned_allocate(std::size_t size_bytes);
void pinned_free(std::byte* memory);

[[nodiscard]] StreamHandle create_stream();
void destroy_stream(StreamHandle stream);
/// @throws SystemError if work on the device failed.
void synchronize(StreamHandle stream);
/// Waits for all work of every stream.
void synchronize_device();

/// If the source is not pinned, it is read before the call returns.
void copy_to_device(StreamHandle stream, std::span<const std::byte> host, std::byte* device);
/// `host` is filled when the stream has been synchronised.
void copy_to_host(StreamHandle stream, const std::byte* device, std::span<std::byte> host);
/// Between places that do not overlap.
void copy_on_device(StreamHandle stream, const std::byte* from, std::byte* to,
                    std::size_t size_bytes);
void fill_zero(StreamHandle stream, std::byte* device, std::size_t size_bytes);

/// Submits every piece of work, in order.
void submit_each(StreamHandle stream, const WorkList& list);
/// The same as a graph of the device, which remembers arguments and addresses, but nothing of what
/// lies there. Nothing runs yet. @throws SystemError
[[nodiscard]] GraphHandle make_graph(StreamHandle stream, const WorkList& list);
void launch_graph(StreamHandle stream, GraphHandle graph);
void destroy_graph(GraphHandle graph);

[[nodiscard]] EventHandle create_event();
void destroy_event(EventHandle event);
void record_event(EventHandle event, StreamHandle stream);
/// Work submitted to `stream` from now on waits for the event.
void wait_event_on(StreamHandle stream, EventHandle event);
/// Waits on the host; at once if the event was never recorded.
void wait_event(EventHandle event);

/// Lets a kernel be launched with more shared memory than the 48 KiB of every device.
/// @throws SystemError if the device has less
void allow_shared_memory(void (*kernel)(), std::size_t size_bytes);

/// @throws SystemError if the last launch was refused.
void check_launch();

/// Seconds that the vendor's library needs at best for c = a^T b of column-major squares [n, n],
/// inputs of `dtype`, sums and c in fp32: the limit that benchmarks compare with. Waits.
/// @throws SystemError
[[nodiscard]] double library_square_seconds(StreamHandle stream, DType dtype, std::int64_t n,
                                            const std::byte* a, const std::byte* b, float* c);

}  // namespace gridmill::cuda
