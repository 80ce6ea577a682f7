// kernels/cuda/runtime.hpp on the host. Work of a stream waits until somebody waits for it, so that
// whatever relies on memory that has gone by then is found out. Fresh memory is NaN.
#include "kernels/cuda/runtime.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "support/cuda_emulation/cuda_platform.hpp"

struct CUstream_st {
  std::deque<std::function<void()>> work;
  std::size_t submitted = 0;
  std::size_t finished = 0;
  std::exception_ptr failure;
};

struct CUevent_st {
  CUstream_st* stream = nullptr;
  std::size_t sequence = 0;
};

namespace gridmill::cuda {

namespace {

/// The one device of this thread of the host.
struct Device {
  std::set<StreamHandle> streams;
  std::set<const std::byte*> pinned;  ///< first bytes
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

bool is_pinned(const std::byte* memory) { return device().pinned.count(memory) != 0; }

}  // namespace

namespace emulation {
void submit(StreamHandle stream, std::function<void()> work) {
  stream->work.push_back(std::move(work));
  ++stream->submitted;
}
}  // namespace emulation

bool has_device() { return true; }
void open_device(int /*node_rank*/, bool /*share*/) {}
std::string device_name() { return "emulation"; }

std::byte* device_allocate(std::size_t size_bytes) {
  auto* memory = static_cast<std::byte*>(
      std::aligned_alloc(256, (std::max<std::size_t>(1, size_bytes) + 255) / 256 * 256));
  if (memory == nullptr) throw ResourceError("the emulation has no memory left");
  std::memset(memory, 0xFF, size_bytes);
  return memory;
}

void device_free(std::byte* memory) {
  run_everything();
  std::free(memory);
}

std::byte* pinned_allocate(std::size_t size_bytes) {
  std::byte* memory = device_allocate(size_bytes);
  device().pinned.insert(memory);
  return memory;
}

void pinned_free(std::byte* memory) {
  device().pinned.erase(memory);
  device_free(memory);
}

StreamHandle create_stream() {
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
  run_until(stream, stream->submitted);
  if (stream->failure) std::rethrow_exception(std::exchange(stream->failure, nullptr));
}

void synchronize_device() {
  for (StreamHandle stream : device().streams) synchronize(stream);
}

void copy_to_device(StreamHandle stream, std::span<const std::byte> host, std::byte* target) {
  if (host.empty()) return;
  if (is_pinned(host.data())) {
    emulation::submit(stream, [=] { std::memcpy(target, host.data(), host.size()); });
    return;
  }
  emulation::submit(stream, [target, copy = std::vector<std::byte>(host.begin(), host.end())] {
    std::memcpy(target, copy.data(), copy.size());
  });
}

void copy_to_host(StreamHandle stream, const std::byte* source, std::span<std::byte> host) {
  if (host.empty()) return;
  emulation::submit(stream, [=] { std::memcpy(host.data(), source, host.size()); });
}

void fill_zero(StreamHandle stream, std::byte* target, std::size_t size_bytes) {
  if (size_bytes == 0) return;
  emulation::submit(stream, [=] { std::memset(target, 0, size_bytes); });
}

EventHandle create_event() {
  return new CUevent_st;  // NOLINT(cppcoreguidelines-owning-memory): a C handle
}

void destroy_event(EventHandle event) {
  delete event;  // NOLINT(cppcoreguidelines-owning-memory)
}

void record_event(EventHandle event, StreamHandle stream) { *event = {stream, stream->submitted}; }

void wait_event(EventHandle event) {
  if (event->stream != nullptr) run_until(event->stream, event->sequence);
}

void check_launch() {}

}  // namespace gridmill::cuda
