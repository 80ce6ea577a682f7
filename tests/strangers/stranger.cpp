// Another user of this host, who tries what the host lets a stranger try on running jobs: reads the
// names of all Unix sockets, connects to those of gridmill and to every TCP port that opens while
// it runs, sends bytes that jobs once took for alarms, sends nothing, sends noise a byte at a time,
// asks for descriptors, opens what /proc shows. With a FOLDER that everybody may write (and whose
// files only their owners may remove, as in /tmp) it puts links to TARGET under the names of
// temporary files there, opens the files of others for writing, locks, replaces and removes them.
//
// usage: stranger UID SECONDS unix|all [FOLDER TARGET]
//
// SECONDS are counted from the first socket of gridmill on; it waits 30 s for one. On a busy
// machine with a folder it goes on for a minute more until it has met a socket and a file. `unix`
// leaves TCP ports alone: a launcher's are opened meanwhile, too. Prints what it did in one line.
// The exit code is 3 if it got a descriptor, 4 if a socket of gridmill answered with more than a
// challenge, 5 if it could do something to a file of others, 69 if it cannot become UID, else 0.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Counts {
  int sockets = 0;
  int connections = 0;
  int descriptors = 0;
  int proofs = 0;
  int files = 0;    // of others in the folder, each time that one was seen
  int changed = 0;  // of those, opened for writing, locked, replaced or removed
};

std::vector<std::string> gridmill_sockets() {
  std::vector<std::string> names;
  std::ifstream list("/proc/net/unix");
  for (std::string line; std::getline(list, line);) {
    const std::size_t at = line.find("@gridmill");
    if (at != std::string::npos) names.push_back(line.substr(at + 1));
  }
  return names;
}

/// Ports of this host that are listened on, IPv4 and IPv6.
std::set<int> listening_ports() {
  std::set<int> ports;
  for (const char* const path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream list(path);
    for (std::string line; std::getline(list, line);) {
      std::istringstream words(line);
      std::string number;
      std::string local;
      std::string remote;
      std::string state;
      if (!(words >> number >> local >> remote >> state) || state != "0A") continue;
      ports.insert(std::stoi(local.substr(local.rfind(':') + 1), nullptr, 16));
    }
  }
  return ports;
}

int connect_unix(const std::string& name) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::min(name.size(), sizeof(address.sun_path) - 1);
  std::memcpy(address.sun_path + 1, name.data(), length);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address),
                static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + length)) == 0) {
    return fd;
  }
  ::close(fd);
  return -1;
}

int connect_tcp(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  static_cast<void>(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  return fd;
}

/// Every run of 16 hexadecimal digits in a name, as the number that jobs once used to tell friends
/// from strangers; then an introduction as such a friend, and every alarm.
std::vector<std::uint8_t> forged_introduction(const std::string& name) {
  std::uint64_t number = 0;
  for (std::size_t at = 0; at + 16 <= name.size(); ++at) {
    const std::string digits = name.substr(at, 16);
    if (std::all_of(digits.begin(), digits.end(),
                    [](unsigned char c) { return std::isxdigit(c); })) {
      number = std::stoull(digits, nullptr, 16);
      break;
    }
  }
  constexpr std::size_t kIntroduction = 72;
  std::vector<std::uint8_t> bytes(kIntroduction + 3);
  std::memcpy(bytes.data(), &number, sizeof(number));
  bytes[8] = 1;
  std::memcpy(bytes.data() + 12, "stranger", 8);
  for (std::uint8_t alarm = 1; alarm <= 3; ++alarm) bytes[kIntroduction + alarm - 1U] = alarm;
  return bytes;
}

/// Whether a descriptor came; counts bytes in `bytes`.
bool receive_descriptor(int fd, std::size_t& bytes) {
  std::array<std::byte, 4096> payload{};
  iovec data{payload.data(), payload.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got = ::recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got > 0) bytes += static_cast<std::size_t>(got);
  return got > 0 && CMSG_FIRSTHDR(&header) != nullptr;
}

/// Shared memory of other processes that /proc lets this user open.
int open_memory_of_others() {
  int opened = 0;
  DIR* const processes = ::opendir("/proc");
  while (const dirent* const process = processes != nullptr ? ::readdir(processes) : nullptr) {
    const std::string folder = std::string("/proc/") + process->d_name + "/fd";
    if (std::isdigit(static_cast<unsigned char>(process->d_name[0])) == 0) continue;
    if (std::atoi(process->d_name) == ::getpid()) continue;
    for (int fd = 3; fd < 64; ++fd) {
      const std::string path = folder + "/" + std::to_string(fd);
      std::array<char, 256> target{};
      if (::readlink(path.c_str(), target.data(), target.size() - 1) < 0) continue;
      if (std::strstr(target.data(), "memfd:gridmill") != nullptr) {
        const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
        opened += file >= 0 ? 1 : 0;
        ::close(file);
      }
    }
  }
  if (processes != nullptr) ::closedir(processes);
  return opened;
}

/// Where outputs are written, and a file of somebody else.
struct Folder {
  std::string path;
  std::string target;
};

/// Does to the files beside an output what only their owner may do.
void meddle(const Folder& folder, Counts& counts) {
  for (const char* const name :
       {"out.h5.tmp", "out.h5.runs.jsonl.tmp", "out.h5.lock.tmp", "out.h5.0000000000000000.tmp"}) {
    const std::string link = folder.path + "/" + name;
    static_cast<void>(::symlink(folder.target.c_str(), link.c_str()));  // mostly there already
  }
  DIR* const entries = ::opendir(folder.path.c_str());
  while (const dirent* const entry = entries != nullptr ? ::readdir(entries) : nullptr) {
    const std::string path = folder.path + "/" + entry->d_name;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    ++counts.files;
    const int written = ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    const int read = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (written >= 0) ++counts.changed;
    if (read >= 0 && path.ends_with(".lock")) {
      struct flock lock {};
      lock.l_type = F_RDLCK;
      lock.l_whence = SEEK_SET;
      if (::fcntl(read, F_SETLK, &lock) == 0) ++counts.changed;
    }
    ::close(written);
    ::close(read);
    const std::string mine = folder.path + "/out.h5.tmp";
    if (::rename(mine.c_str(), path.c_str()) == 0) ++counts.changed;
    if (::unlink(path.c_str()) == 0) ++counts.changed;
  }
  if (entries != nullptr) ::closedir(entries);
}

struct Connection {
  int fd = -1;
  std::size_t received = 0;
};

/// A server says this much to anybody: its challenge.
constexpr std::size_t kChallengeBytes = 32;

void listen_to(Connection& connection, Counts& counts) {
  if (receive_descriptor(connection.fd, connection.received)) ++counts.descriptors;
}

void harass(double seconds, bool tcp, const Folder& folder) {
  constexpr std::size_t kMostConnections = 200;
  Counts counts;
  const std::set<int> not_ours = listening_ports();
  std::deque<Connection> held;    // silent, or babbling
  std::deque<Connection> forged;  // as a friend; kept, since an answer may come late
  const auto patience = Clock::now() + std::chrono::seconds(30);
  while (gridmill_sockets().empty() && Clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(seconds);
  // Forgers come first: they would wait behind silent ones where those are waited for.
  const auto silent_from = start + std::chrono::duration<double>(seconds * 0.4);
  const auto drop_oldest = [&counts](std::deque<Connection>& connections) {
    Connection& oldest = connections.front();
    listen_to(oldest, counts);
    if (oldest.received > kChallengeBytes) ++counts.proofs;
    ::close(oldest.fd);
    connections.pop_front();
  };
  const auto keep = [&](int fd) {
    if (fd < 0) return;
    ++counts.connections;
    held.push_back({fd});
    if (held.size() > kMostConnections) drop_oldest(held);
  };
  const auto forge = [&](int fd, const std::string& name) {
    if (fd < 0) return;
    ++counts.connections;
    const std::vector<std::uint8_t> bytes = forged_introduction(name);
    static_cast<void>(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
    forged.push_back({fd});
    if (forged.size() > kMostConnections) drop_oldest(forged);
  };
  const auto has_met_all = [&counts, &folder] {
    return folder.path.empty() || (counts.connections > 0 && counts.files > 0);
  };
  for (unsigned round = 0;
       Clock::now() < end || (!has_met_all() && Clock::now() < end + std::chrono::minutes(1));
       ++round) {
    for (const std::string& name : gridmill_sockets()) {
      ++counts.sockets;
      forge(connect_unix(name), name);
      if (Clock::now() < silent_from) continue;
      for (int i = 0; i < 16; ++i) keep(connect_unix(name));
    }
    if (tcp && round % 4 == 0) {
      for (const int port : listening_ports()) {
        if (not_ours.count(port) != 0) continue;
        ++counts.sockets;
        for (int i = 0; i < 16; ++i) keep(connect_tcp(port));
      }
    }
    if (round % 64 == 0) counts.descriptors += open_memory_of_others();
    if (!folder.path.empty() && round % 8 == 0) meddle(folder, counts);
    for (std::size_t i = round % 7; i < held.size(); i += 7) {
      const char noise = static_cast<char>(round);
      static_cast<void>(::send(held[i].fd, &noise, 1, MSG_NOSIGNAL | MSG_DONTWAIT));
      listen_to(held[i], counts);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  while (!held.empty()) drop_oldest(held);
  while (!forged.empty()) drop_oldest(forged);
  std::printf(
      "stranger: saw %d sockets, made %d connections, got %d descriptors and %d proofs; tried %d "
      "files, changed %d\n",
      counts.sockets, counts.connections, counts.descriptors, counts.proofs, counts.files,
      counts.changed);
  std::fflush(stdout);
  ::_exit(counts.descriptors > 0 ? 3 : counts.proofs > 0 ? 4 : counts.changed > 0 ? 5 : 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) {
    std::fprintf(stderr, "usage: stranger UID SECONDS unix|all [FOLDER TARGET]\n");
    return 64;
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  const auto user = static_cast<uid_t>(std::atoi(argv[1]));
  if (::setgroups(0, nullptr) != 0 || ::setgid(user) != 0 || ::setuid(user) != 0) {
    std::fprintf(stderr, "stranger: cannot become user %u\n", user);
    return 69;
  }
  const Folder folder = argc == 6 ? Folder{argv[4], argv[5]} : Folder{};
  harass(std::atof(argv[2]), std::strcmp(argv[3], "all") == 0, folder);
}
