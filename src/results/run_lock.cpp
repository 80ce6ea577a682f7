#include "gridmill/results/run_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
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
#include "gridmill/base/temporary_file.hpp"
#include "side_file.hpp"

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

enum class Holder { nobody, reader, writer, unknown };

/// The holder of the lock that blocks this run. A run takes an exclusive lock, so a shared one
/// belongs to a reader, not to a run.
Holder holder_kind(const FileDescriptor& file) {
  struct flock request {};
  request.l_type = F_WRLCK;
  request.l_whence = SEEK_SET;
  if (::fcntl(file.get(), F_OFD_GETLK, &request) != 0) return Holder::unknown;
  if (request.l_type == F_UNLCK) return Holder::nobody;
  return request.l_type == F_RDLCK ? Holder::reader : Holder::writer;
}

/// Readers could lock the file against its owner: users who cannot write it cannot read it.
void hide_from_readers(const FileDescriptor& file) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return;
  const mode_t writers = status.st_mode & 0222U;
  ::fchmod(file.get(), writers | (writers << 1U));  // not ours: then its owner has to
}

bool is_named(const std::string& path, const FileDescriptor& file) {
  struct stat named {};
  struct stat open {};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(file.get(), &open) == 0 &&
         named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

/// A new lock file with the old one's epoch, locked, in its place: no reader has it open.
FileDescriptor replace_lock_file(const FileDescriptor& old, const std::string& path) {
  log::warn("{} is locked by a reader, which is no run: it is replaced", path);
  const std::string text = read_lock(old, path);
  TemporaryFile fresh(path);
  hide_from_readers(fresh.descriptor());
  write_exactly(fresh.descriptor(), 0, std::as_bytes(std::span(text)), fresh.path());
  fresh.publish();
  return fresh.take_descriptor();
}

/// The lock file, locked.
FileDescriptor take_lock(const std::string& path, const std::string& output) {
  constexpr int kTries = 20;
  for (int i = 0; i < kTries; ++i) {
    FileDescriptor file = results_detail::open_side_file(path, output, 0);
    hide_from_readers(file);
    const int refused = try_lock_whole_file(file);
    if (refused == EAGAIN) {
      switch (holder_kind(file)) {
        case Holder::nobody:  // gone meanwhile
          continue;
        case Holder::writer:
        case Holder::unknown:
          throw OutputError(
              fmt::format("another run is writing {} ({}); wait for it, or choose another --output",
                          output, holder_of(read_lock(file, path))));
        case Holder::reader:
          file = replace_lock_file(file, path);
      }
    } else if (refused != 0) {
      // Some cluster file systems are mounted without locks: the epoch still stops the older of
      // two runs.
      log::warn("{} cannot be locked ({}): make sure that no other run writes {}", path,
                system_reason(refused), output);
    }
    if (is_named(path, file)) return file;  // else another run has replaced it meanwhile
  }
  throw OutputError(fmt::format("{} changes all the time; is another run starting?", path));
}

}  // namespace

std::string lock_path_of(const std::string& output) { return follow_links(output) + ".lock"; }

RunLock RunLock::acquire(const std::string& output) {
  const std::string path = lock_path_of(output);
  FileDescriptor file = take_lock(path, output);
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
  const FileDescriptor file(::open(lock_path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
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

void require_no_writer(const std::string& output) {
  const std::string path = lock_path_of(output);
  constexpr int kSafely = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | kSafely));
  if (!file.valid()) {
    if (errno == ENOENT) return;
    if (errno != EACCES) {
      throw IoError(fmt::format("cannot tell whether a run is writing {}: {} cannot be read: {}",
                                output, path, system_reason()));
    }
  }
  const Holder holder = file.valid() ? holder_kind(file) : Holder::unknown;
  if (holder == Holder::unknown) {
    log::warn("cannot tell whether a run is writing {}: make sure that none is", output);
  }
  if (holder != Holder::writer) return;
  throw OutputError(fmt::format("a run is writing {} ({}); wait for its end, or stop it", output,
                                holder_of(read_lock(file, path))));
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
