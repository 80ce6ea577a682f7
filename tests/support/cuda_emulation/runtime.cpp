// kernels/cuda/runtime.hpp on the host. Work of a stream waits until somebody waits for it, so that
// whatever relies on memory that has gone by then is found out. Fresh memory is NaN. Whole programs
// are told by the environment what the node has: GRIDMILL_EMULATED_DEVICES (1), each with
// GRIDMILL_EMULATED_MIB (16384) of memory, and multiprocessors with GRIDMILL_EMULATED_SHARED_KIB
// (228) of shared memory.
#include "kernels/cuda/runtime.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "kernels/cuda/device_choice.hpp"
#include "support/cuda_emulation/cuda_platform.hpp"

struct CUstream_st {
  std::deque<std::function<void()>> work;
  std::size_t submitted = 0;
  std::size_t finished = 0;
  std::exception_ptr failure;
};

struct CUgraphExec_st {
  gridmill::cuda::WorkList list;
};

struct CUevent_st {
  CUstream_st* stream = nullptr;
  std::size_t sequence = 0;
};

namespace gridmill::cuda {

namespace {

/// A whole number from the environment.
std::size_t setting(const char* name, std::size_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::stoull(text);
}

/// The device that this thread of the host has opened.
struct Device {
  int number = 0;
  std::set<StreamHandle> streams;
  std::set<const std::byte*> pinned;  ///< first bytes
  std::map<const std::byte*, std::size_t> allocated;
  DeviceMemory memory = [] {
    const std::size_t bytes = setting("GRIDMILL_EMULATED_MIB", 16384) << 20;
    return DeviceMemory{bytes, bytes};
  }();
  emulation::Counts counts;
};

Device& device() {
  static thread_local Device one;
  return one;
}

/// Runs the first `count` pieces of work ever submitted to the stream. After a failure the rest is
/// dropped, as a device in error drops it.
void run_until(StreamHandle stream, std::size_t count) {
  while (stream->finished < count) {
    const std::function<void()> work = std::move(stream->work.front());
    stream->work.pop_front();
    ++stream->finished;
    if (stream->failure) continue;
    try {
      work();
    } catch (...) {
      stream->failure = std::current_exception();
    }
  }
}

void run_everything() {
  for (StreamHandle stream : device().streams) run_until(stream, stream->submitted);
}

/// The stream of an event may have gone; then all of its work has run.
bool is_ahead(const CUevent_st& event) {
  return device().streams.count(event.stream) != 0 && event.stream->finished < event.sequence;
}

/// Anywhere inside.
bool is_pinned(const std::byte* memory) {
  auto behind = device().pinned.upper_bound(memory);
  if (behind == device().pinned.begin()) return false;
  const std::byte* first = *--behind;
  return memory < first + device().allocated.at(first);
}

/// Memory as nobody has written it yet.
std::byte* allocate_filled(std::size_t size_bytes) {
  ++device().counts.allocations;
  auto* memory = static_cast<std::byte*>(
      std::aligned_alloc(256, (std::max<std::size_t>(1, size_bytes) + 255) / 256 * 256));
  if (memory == nullptr) throw ResourceError("the emulation has no memory left");
  std::memset(memory, 0xFF, size_bytes);
  device().allocated[memory] = size_bytes;
  return memory;
}

/// @return its size; 0 for another thread's, whose device is gone.
std::size_t free_when_idle(std::byte* memory) {
  ++device().counts.waits;
  run_everything();
  std::size_t size_bytes = 0;
  if (const auto found = device().allocated.find(memory); found != device().allocated.end()) {
    size_bytes = found->second;
    device().allocated.erase(found);
  }
  std::free(memory);
  return size_bytes;
}

}  // namespace

namespace emulation {
void submit(StreamHandle stream, std::function<void()> work) {
  ++device().counts.submissions;
  stream->work.push_back(std::move(work));
  ++stream->submitted;
}

void run_submitted(StreamHandle stream) { run_until(stream, stream->submitted); }

Counts counts() { return device().counts; }

void set_device_memory(std::size_t size_bytes) {
  std::size_t taken = 0;
  for (const auto& [memory, bytes] : device().allocated) {
    if (device().pinned.count(memory) == 0) taken += bytes;
  }
  device().memory = {size_bytes > taken ? size_bytes - taken : 0, size_bytes};
}
}  // namespace emulation

std::string runtime_version() { return "emulation"; }
bool has_device() { return true; }
void open_device(int node_rank, bool share) {
  device().number = choose_device(node_rank, device_count(), share);
}
std::string device_name() { return "emulation"; }

DeviceMemory device_memory() { return device().memory; }
int device_count() { return static_cast<int>(setting("GRIDMILL_EMULATED_DEVICES", 1)); }
std::array<std::byte, 16> device_identity() { return {std::byte(device().number)}; }

std::byte* device_allocate(std::size_t size_bytes) {
  if (size_bytes > device().memory.free_bytes) {
    throw ResourceError("the emulated device has no memory left");
  }
  std::byte* memory = allocate_filled(size_bytes);
  device().memory.free_bytes -= size_bytes;
  return memory;
}

void device_free(std::byte* memory) { device().memory.free_bytes += free_when_idle(memory); }

std::byte* pinned_allocate(std::size_t size_bytes) {
  std::byte* memory = allocate_filled(size_bytes);
  device().pinned.insert(memory);
  return memory;
}

void pinned_free(std::byte* memory) {
  device().pinned.erase(memory);
  static_cast<void>(free_when_idle(memory));
}

StreamHandle create_stream() {
  ++device().counts.allocations;
  auto* stream = new CUstream_st;  // NOLINT(cppcoreguidelines-owning-memory): a C handle
  device().streams.insert(stream);
  return stream;
}

void destroy_stream(StreamHandle stream) {
  run_until(stream, stream->submitted);
  device().streams.erase(stream);
  delete stream;  // NOLINT(cppcoreguidelines-owning-memory)
}

void synchronize(StreamHandle stream) {
  ++device().counts.waits;
  run_until(stream, stream->submitted);
  if (stream->failure) std::rethrow_exception(std::exchange(stream->failure, nullptr));
}

void synchronize_device() {
  for (StreamHandle stream : device().streams) synchronize(stream);
}

void copy_to_device(StreamHandle stream, std::span<const std::byte> host, std::byte* target) {
  if (host.empty()) return;
  constexpr std::size_t kDriverStages = std::size_t{64} << 10;
  if (is_pinned(host.data())) {
    emulation::submit(stream, [=] { std::memcpy(target, host.data(), host.size()); });
    return;
  }
  if (host.size() > kDriverStages) ++device().counts.waits;
  emulation::submit(stream, [target, copy = std::vector<std::byte>(host.begin(), host.end())] {
    std::memcpy(target, copy.data(), copy.size());
  });
}

void copy_to_host(StreamHandle stream, const std::byte* source, std::span<std::byte> host) {
  if (host.empty()) return;
  if (!is_pinned(host.data())) ++device().counts.waits;  // as a driver does, if not here
  emulation::submit(stream, [=] { std::memcpy(host.data(), source, host.size()); });
}

void copy_on_device(StreamHandle stream, const std::byte* from, std::byte* target,
                    std::size_t size_bytes) {
  if (size_bytes == 0) return;
  emulation::submit(stream, [=] { std::memcpy(target, from, size_bytes); });
}

void fill_zero(StreamHandle stream, std::byte* target, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  emulation::submit(stream, [=] { std::memset(target, 0, size_bytes); });
}

namespace {
void run_work(const WorkList& list, const Work& work) {
  if (work.kind != Work::Kind::kernel) {
    std::memcpy(work.target, work.source, work.size_bytes);
    return;
  }
  emulation::run_grid(work.grid, work.threads, work.shared_bytes,
                      [&] { work.call(work.kernel, list.bytes.data() + work.args_at); });
}
}  // namespace

void submit_each(StreamHandle stream, const WorkList& list) {
  const auto shared = std::make_shared<const WorkList>(list);
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    emulation::submit(stream, [shared, i] { run_work(*shared, shared->items[i]); });
  }
}

GraphHandle make_graph(StreamHandle /*stream*/, const WorkList& list) {
  ++device().counts.allocations;
  return new CUgraphExec_st{list};  // NOLINT(cppcoreguidelines-owning-memory): a C handle
}

void launch_graph(StreamHandle stream, GraphHandle graph) {
  ++device().counts.graphs;
  emulation::submit(stream, [shared = std::make_shared<const WorkList>(graph->list)] {
    for (const Work& work : shared->items) run_work(*shared, work);
  });
}

void destroy_graph(GraphHandle graph) {
  delete graph;  // NOLINT(cppcoreguidelines-owning-memory)
}

EventHandle create_event() {
  ++device().counts.allocations;
  return new CUevent_st;  // NOLINT(cppcoreguidelines-owning-memory): a C handle
}

void destroy_event(EventHandle event) {
  delete event;  // NOLINT(cppcoreguidelines-owning-memory)
}

void record_event(EventHandle event, StreamHandle stream) { *event = {stream, stream->submitted}; }

void wait_event_on(StreamHandle stream, EventHandle event) {
  const CUevent_st recorded = *event;
  emulation::submit(stream, [recorded] {
    if (is_ahead(recorded)) run_until(recorded.stream, recorded.sequence);
  });
}

void wait_event(EventHandle event) {
  if (!is_ahead(*event)) return;
  ++device().counts.waits;
  run_until(event->stream, event->sequence);
}

// Few, so that small products already choose what a device does for large ones.
Multiprocessors multiprocessors() {
  return {.count = 2,
          .shared_bytes = setting("GRIDMILL_EMULATED_SHARED_KIB", 228) << 10,
          .threads = 0};  // a fiber's local memory is the host's
}

void allow_shared_memory(void (* /*kernel*/)(), std::size_t size_bytes) {
  constexpr std::size_t kReserved = 1024;  // of each thread block
  if (size_bytes + kReserved <= multiprocessors().shared_bytes) return;
  throw SystemError("a thread block asks for " + std::to_string(size_bytes) +
                    " bytes of shared memory, more than a multiprocessor has");
}

void check_launch() {}

}  // namespace gridmill::cuda
