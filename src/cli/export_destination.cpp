#include "cli/export_destination.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <span>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/printable.hpp"

namespace gridmill::cli {

Destination::Destination(const std::optional<OutputTarget>& target, const std::string& name)
    : stream_(stdout) {
  if (!target) return;
  path_ = target->path();
  FileDescriptor file;
  if (target->is_stream()) {
    file = target->open_stream();
  } else {
    temporary_.emplace(path_);
    file = FileDescriptor(::fcntl(temporary_->descriptor().get(), F_DUPFD_CLOEXEC, 0));
  }
  stream_ = ::fdopen(file.get(), "w");
  if (stream_ == nullptr) {
    throw OutputError(fmt::format("cannot write to {}: {}", path_, system_reason()));
  }
  file.release();
  const Compression compression = compression_of(name);
  if (compression == Compression::none) return;
  packer_ = std::make_unique<Packer>(compression, [this](std::span<const std::byte> bytes) {
    write_bytes(bytes.data(), bytes.size());
  });
}

Destination::~Destination() {
  if (!path_.empty() && stream_ != nullptr) std::fclose(stream_);
}

void Destination::write_text(std::string_view text) {
  if (path_.empty() && ::isatty(STDOUT_FILENO) != 0) {
    write(printable(text, Breaks::kept));
  } else {
    write(text);
  }
}

void Destination::write(std::string_view text) {
  if (packer_) {
    packer_->write(text);
  } else {
    write_bytes(text.data(), text.size());
  }
}

void Destination::write_bytes(const void* bytes, std::size_t size) {
  if (std::fwrite(bytes, 1, size, stream_) != size) fail();
}

void Destination::finish() {
  if (packer_) packer_->finish();
  if (std::fflush(stream_) != 0) fail();
  if (path_.empty()) return;
  if (std::fclose(std::exchange(stream_, nullptr)) != 0) fail();
  if (temporary_) temporary_->publish();
}

void Destination::fail() const {
  throw IoError(
      fmt::format("writing {} failed: {}", path_.empty() ? "stdout" : path_, system_reason()));
}

}  // namespace gridmill::cli
