#include "model/layers/workspace.hpp"

#include <algorithm>

namespace gridmill::model_detail {

std::byte* Workspace::bytes(Stream& stream, Scratch what, std::size_t size_bytes) {
  Buffer& buffer = buffers_[static_cast<std::size_t>(what)];
  if (buffer.size_bytes() < size_bytes || buffer.data() == nullptr) {
    stream.synchronize();  // earlier work may still use the old buffer
    // Passes grow row by row as slots fill: a quarter more at a time (workspace_bytes includes it).
    const std::size_t grown = std::max(size_bytes, buffer.size_bytes() + buffer.size_bytes() / 4);
    buffer = Buffer();
    buffer = backend_->allocate(std::max<std::size_t>(grown, 64));
  }
  return buffer.data();
}

DeviceMatrix Workspace::matrix(Stream& stream, Scratch what, std::int64_t rows,
                               std::int64_t columns) {
  const auto size_bytes = static_cast<std::size_t>(rows * columns) * sizeof(float);
  return {reinterpret_cast<float*>(bytes(stream, what, size_bytes)), rows, columns, columns};
}

PackedRows Workspace::packed(Stream& stream, Scratch what, std::int64_t rows, std::int64_t inputs) {
  return {bytes(stream, what, backend_->packed_bytes(rows, inputs)), rows, inputs};
}

}  // namespace gridmill::model_detail
