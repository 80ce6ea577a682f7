#include "kernels/cuda/runtime.hpp"

#include <cuda_runtime.h>

#include <cstring>
#include <map>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "kernels/cuda/device_choice.hpp"
#include "kernels/cuda/work_list.hpp"

namespace gridmill::cuda {

namespace {

void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) {
    throw SystemError(fmt::format("{} failed: {}", call, cudaGetErrorString(status)));
  }
}

/// The oldest compute capability that the kernels are built for (bf16 on tensor cores).
constexpr int kOldestMajor = 8;

cudaDeviceProp properties() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  return properties;
}

/// 13000 is 13.0.
std::string dotted(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace

std::string runtime_version() {
  int driver = 0;
  const bool has_driver = cudaDriverGetVersion(&driver) == cudaSuccess && driver != 0;
  return fmt::format("{} (driver: {})", dotted(CUDART_VERSION),
                     has_driver ? dotted(driver) : "none");
}

bool has_device() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

void open_device(int node_rank, bool share) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    throw ResourceError(fmt::format(
        "backend cuda needs an NVIDIA device with its driver, and there is none: {}; use "
        "backend cpu",
        status == cudaSuccess ? "no device was found" : cudaGetErrorString(status)));
  }
  check(cudaSetDevice(choose_device(node_rank, count, share)), "cudaSetDevice");
  const cudaDeviceProp device = properties();
  if (device.major < kOldestMajor) {
    throw ResourceError(fmt::format(
        "backend cuda needs compute capability {}.0 or newer, {} has {}.{}; use backend cpu",
        kOldestMajor, device.name, device.major, device.minor));
  }
}

std::string device_name() {
  const cudaDeviceProp device = properties();
  return fmt::format("{} (sm_{}{})", device.name, device.major, device.minor);
}

Multiprocessors multiprocessors() {
  static thread_local const Multiprocessors all = [] {  // a thread has one device
    int device = 0;
    check(cudaGetDevice(&device), "cudaGetDevice");
    const auto attribute = [device](cudaDeviceAttr which) {
      int value = 0;
      check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
      return value;
    };
    return Multiprocessors{
        attribute(cudaDevAttrMultiProcessorCount),
        static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor)),
        static_cast<std::size_t>(attribute(cudaDevAttrMaxThreadsPerMultiProcessor))};
  }();
  return all;
}

DeviceMemory device_memory() {
  DeviceMemory memory;
  check(cudaMemGetInfo(&memory.free_bytes, &memory.all_bytes), "cudaMemGetInfo");
  return memory;
}

std::array<std::byte, 16> device_identity() {
  const cudaDeviceProp device = properties();
  std::array<std::byte, 16> identity{};
  static_assert(sizeof device.uuid.bytes == sizeof identity);
  std::memcpy(identity.data(), device.uuid.bytes, identity.size());
  return identity;
}

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

std::byte* device_allocate(std::size_t size_bytes) {
  void* memory = nullptr;
  if (cudaMalloc(&memory, size_bytes) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // the failure is told here and does not stay behind
    std::size_t free_bytes = 0;
    std::size_t all_bytes = 0;
    static_cast<void>(cudaMemGetInfo(&free_bytes, &all_bytes));
    throw ResourceError(
        fmt::format("cannot allocate {} MiB on the device, {} of {} MiB are free; use fewer slots "
                    "or a shorter max length",
                    size_bytes >> 20, free_bytes >> 20, all_bytes >> 20));
  }
  return static_cast<std::byte*>(memory);
}

// Destructors end here, so nothing is thrown; a broken device shows at the next synchronisation.
void device_free(std::byte* memory) { static_cast<void>(cudaFree(memory)); }

std::byte* pinned_allocate(std::size_t size_bytes) {
  void* memory = nullptr;
  if (cudaMallocHost(&memory, size_bytes) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    throw ResourceError(
        fmt::format("cannot allocate {} KiB of pinned host memory", size_bytes >> 10));
  }
  return static_cast<std::byte*>(memory);
}

void pinned_free(std::byte* memory) { static_cast<void>(cudaFreeHost(memory)); }

StreamHandle create_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  return stream;
}

void destroy_stream(StreamHandle stream) { static_cast<void>(cudaStreamDestroy(stream)); }

void synchronize(StreamHandle stream) {
  check(cudaStreamSynchronize(stream), "work on the device (cudaStreamSynchronize)");
}

void synchronize_device() { check(cudaDeviceSynchronize(), "cudaDeviceSynchronize"); }

void copy_to_device(StreamHandle stream, std::span<const std::byte> host, std::byte* device) {
  if (host.empty()) return;
  check(cudaMemcpyAsync(device, host.data(), host.size(), cudaMemcpyHostToDevice, stream),
        "cudaMemcpyAsync to the device");
}

void copy_to_host(StreamHandle stream, const std::byte* device, std::span<std::byte> host) {
  if (host.empty()) return;
  check(cudaMemcpyAsync(host.data(), device, host.size(), cudaMemcpyDeviceToHost, stream),
        "cudaMemcpyAsync to the host");
}

void copy_on_device(StreamHandle stream, const std::byte* from, std::byte* to,
                    std::size_t size_bytes) {
  if (size_bytes == 0) return;
  check(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDeviceToDevice, stream),
        "cudaMemcpyAsync on the device");
}

void fill_zero(StreamHandle stream, std::byte* device, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  check(cudaMemsetAsync(device, 0, size_bytes, stream), "cudaMemsetAsync");
}

void submit_each(StreamHandle stream, const WorkList& list) {
  for (const Work& work : list.items) {
    switch (work.kind) {
      case Work::Kind::kernel: {
        // A kernel reads its one argument during the call.
        void* args = const_cast<std::byte*>(list.bytes.data() + work.args_at);
        check(cudaLaunchKernel(reinterpret_cast<const void*>(work.kernel),
                               dim3(work.grid.x, work.grid.y, work.grid.z),
                               dim3(static_cast<unsigned>(work.threads)), &args, work.shared_bytes,
                               stream),
              "cudaLaunchKernel");
        break;
      }
      case Work::Kind::copy_from_pinned:
        copy_to_device(stream, {work.source, work.size_bytes}, work.target);
        break;
      case Work::Kind::copy_to_pinned:
        copy_to_host(stream, work.source, {work.target, work.size_bytes});
        break;
    }
  }
}

GraphHandle make_graph(StreamHandle stream, const WorkList& list) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    submit_each(stream, list);
  } catch (const Error&) {
    // The capture has to end, whatever it has caught.
    static_cast<void>(cudaStreamEndCapture(stream, &graph));
    if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
    throw;
  }
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  cudaGraphExec_t runnable = nullptr;
  const cudaError_t status = cudaGraphInstantiateWithFlags(&runnable, graph, 0);
  static_cast<void>(cudaGraphDestroy(graph));
  check(status, "cudaGraphInstantiate");
  return runnable;
}

void launch_graph(StreamHandle stream, GraphHandle graph) {
  check(cudaGraphLaunch(graph, stream), "cudaGraphLaunch");
}

void destroy_graph(GraphHandle graph) { static_cast<void>(cudaGraphExecDestroy(graph)); }

EventHandle create_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  return event;
}

void destroy_event(EventHandle event) { static_cast<void>(cudaEventDestroy(event)); }

void record_event(EventHandle event, StreamHandle stream) {
  check(cudaEventRecord(event, stream), "cudaEventRecord");
}

void wait_event_on(StreamHandle stream, EventHandle event) {
  check(cudaStreamWaitEvent(stream, event, 0), "cudaStreamWaitEvent");
}

void wait_event(EventHandle event) { check(cudaEventSynchronize(event), "cudaEventSynchronize"); }

void allow_shared_memory(void (*kernel)(), std::size_t size_bytes) {
  static thread_local std::map<void (*)(), std::size_t> allowed;  // a thread has one device
  std::size_t& before = allowed[kernel];
  if (before >= size_bytes) return;
  const auto* function = reinterpret_cast<const void*>(kernel);
  check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(size_bytes)),
        "cudaFuncSetAttribute");
  // All that the multiprocessor has, so that as many thread blocks are on it as fit.
  check(cudaFuncSetAttribute(function, cudaFuncAttributePreferredSharedMemoryCarveout,
                             cudaSharedmemCarveoutMaxShared),
        "cudaFuncSetAttribute");
  before = size_bytes;
}

void check_launch() { check(cudaGetLastError(), "a kernel launch"); }

}  // namespace gridmill::cuda
