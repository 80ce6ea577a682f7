#include "gridmill/results/run_lock.hpp"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <random>
#include <string_view>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill {

namespace {

// The lock file is text for people: "epoch 17 nonce 0123456789abcdef\nhost n1, process 4711,
// ...\n". Its first line has a fixed size, so that one write replaces it.
constexpr std::size_t kEpochLineBytes = 6 + 20 + 7 + 16 + 1;

std::string epoch_line(const RunEpoch& epoch) {
  return fmt::format("epoch {:020} nonce {:016x}\n", epoch.number, epoch.nonce);
}

std::string holder_line() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return fmt::format("host {}, process {}, since {}\n", host.data(), ::getpid(), utc_timestamp());
}

/// Up to 512 bytes of the lock file; empty if it is empty.
std::string read_lock(const FileDescriptor& file, const std::string& path) {
  std::string text(512, '\0');
  const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
  if (got < 0) throw IoError(fmt::format("reading {} failed: {}", path, system_reason()));
  text.resize(static_cast<std::size_t>(got));
  return text;
}

std::uint64_t epoch_number_of(std::string_view text) {
  std::uint64_t number = 0;
  if (text.size() >= kEpochLineBytes && text.starts_with("epoch ")) {
    std::from_chars(text.data() + 6, text.data() + 26, number);
  }
  return number;
}

std::string holder_of(const std::string& text) {
  if (text.size() <= kEpochLineBytes) return "unknown holder";
  const std::size_t end = text.find('\n', kEpochLineBytes);
  return text.substr(kEpochLineBytes,
                     end == std::string::npos ? std::string::npos : end - kEpochLineBytes);
}

void take_lock(const FileDescriptor& file, const std::string& path, const std::string& output) {
  struct flock request {};
  request.l_type = F_WRLCK;
  request.l_whence = SEEK_SET;
  if (::fcntl(file.get(), F_OFD_SETLK, &request) == 0) return;
  if (errno == EAGAIN || errno == EACCES) {
    throw OutputError(
        fmt::format("another run is writing {} ({}); wait for it, or choose another --output",
                    output, holder_of(read_lock(file, path))));
  }
  // Some cluster file systems are mounted without locks: the epoch still stops the older of two
  // runs.
  log::warn("{} cannot be locked ({}): make sure that no other run writes {}", path,
            system_reason(), output);
}

}  // namespace

std::string lock_path_of(const std::string& output) { return output + ".lock"; }

RunLock RunLock::acquire(const std::string& output) {
  const std::string path = lock_path_of(output);
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (!file.valid()) throw OutputError(fmt::format("cannot create {}: {}", path, system_reason()));
  take_lock(file, path, output);
  std::random_device random;
  const RunEpoch epoch{epoch_number_of(read_lock(file, path)) + 1,
                       (std::uint64_t{random()} << 32) | random()};
  const std::string text = epoch_line(epoch) + holder_line();
  try {
    write_exactly(file, 0, std::as_bytes(std::span(text)), path);
  } catch (const IoError& error) {
    throw OutputError(error.what());
  }
  if (::ftruncate(file.get(), static_cast<off_t>(text.size())) != 0 || ::fsync(file.get()) != 0) {
    throw OutputError(fmt::format("writing {} failed: {}", path, system_reason()));
  }
  sync_parent_folder(path);
  return {std::move(file), epoch};
}

RunGuard::RunGuard(const std::string& output, RunEpoch epoch)
    : lock_path_(lock_path_of(output)), epoch_(epoch) {}

void RunGuard::check() const {
  // Opened anew each time: network file systems look at the server's copy on open only.
  const FileDescriptor file(::open(lock_path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    throw OutputError(
        fmt::format("{} is gone ({}), so this run cannot know that it still owns the output",
                    lock_path_, system_reason()));
  }
  const std::string text = read_lock(file, lock_path_);
  if (!text.starts_with(epoch_line(epoch_))) {
    throw OutputError(fmt::format("another run has taken over the output ({} says: {})", lock_path_,
                                  holder_of(text)));
  }
}

bool on_network_file_system(const std::string& path) {
  constexpr decltype(std::declval<struct statfs>().f_type) kNfsMagic = 0x6969;
  struct statfs status {};
  if (::statfs(path.c_str(), &status) != 0) {
    throw IoError(fmt::format("cannot tell the file system of {}: {}", path, system_reason()));
  }
  return status.f_type == kNfsMagic;
}

}  // namespace gridmill
