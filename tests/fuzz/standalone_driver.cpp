// Runs a fuzz target without libFuzzer: its seeds, then deterministic mutations of them.
//
// usage: <target> --corpus FOLDER [--first M] [--runs N] [--seconds S] [--seed K] [--timeout S]
//        <target> FILE...            runs these inputs only, e.g. one that failed
//
// An input that crashes, takes more processor time than the timeout (10 s; with that of its child
// processes) or ten times as long by the clock, takes more than kMostMemoryKiB
// or lets an exception escape is written to ./failed-input and named on stderr; the exit status is
// then not 0.
#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is POSIX
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/philox.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// Of targets that know the structure of their inputs; as libFuzzer calls it.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed)
    __attribute__((weak));
// Present under a sanitizer only; called before it ends the process.
extern "C" void __sanitizer_set_death_callback(  // NOLINT(bugprone-reserved-identifier): its name
    void (*callback)()) __attribute__((weak));

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr const char* kFailedInput = "failed-input";
/// Inputs have at most 64 KiB. 1 GiB is what a reader may take besides; the rest is this program
/// with its seeds and, in such a build, the address sanitizer.
constexpr std::size_t kLargestInput = std::size_t{1} << 16;
constexpr long kMostMemoryKiB = 1200L << 10;

// What the signal handler needs: the input under test.
const std::uint8_t* g_data = nullptr;
std::size_t g_size = 0;
// Its number, in words that are ready to be printed.
std::array<char, 64> g_number{};
// After so many seconds of processor time an input counts as hanging: a busy machine changes
// nothing. An input that waits for something gets kClockSeconds as many by the clock.
std::uint32_t g_timeout_s = 10;
constexpr std::uint32_t kClockSeconds = 10;

/// Keeps the input; only calls that a signal handler may make.
void save_input() {
  constexpr std::string_view kMessage = "fuzz: the failing input is in ./failed-input\n";
  const int file = ::open(kFailedInput, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) return;
  [[maybe_unused]] ssize_t ignored = ::write(file, g_data, g_size);
  ::close(file);
  ignored = ::write(STDERR_FILENO, g_number.data(), ::strnlen(g_number.data(), g_number.size()));
  ignored = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
}

void on_signal(int signal) {
  save_input();
  if (signal == SIGALRM || signal == SIGPROF) {
    constexpr std::string_view kMessage = "fuzz: it takes too long\n";
    [[maybe_unused]] const ssize_t ignored =
        ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void install_handlers() {
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(save_input);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGPROF}) {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigaction(signal, &action, nullptr);
  }
}

/// Signals when this process has used so many seconds from now on; 0 takes that back.
void limit_time(std::uint32_t seconds) {
  itimerval timer{};
  timer.it_value.tv_sec = seconds;
  ::setitimer(ITIMER_PROF, &timer, nullptr);
  ::alarm(seconds * kClockSeconds);
}

/// Processor time of child processes that have ended.
double seconds_of_children() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Resident memory at its peak.
long peak_memory_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

void run_one(const Bytes& input) {
  // A copy of the exact size, so that a sanitizer sees one byte read too many.
  const auto copy =
      std::make_unique<std::uint8_t[]>(input.size());  // NOLINT(modernize-avoid-c-arrays)
  std::copy(input.begin(), input.end(), copy.get());
  g_data = copy.get();
  g_size = input.size();
  const double children = seconds_of_children();
  limit_time(g_timeout_s);
  try {
    LLVMFuzzerTestOneInput(copy.get(), input.size());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fuzz: an exception escaped: %s\n", error.what());
    std::abort();
  }
  limit_time(0);
  if (const double seconds = seconds_of_children() - children; seconds > g_timeout_s) {
    std::fprintf(stderr, "fuzz: %.1f s of child processes\n", seconds);
    std::abort();
  }
  if (const long memory = peak_memory_kib(); memory > kMostMemoryKiB) {
    std::fprintf(stderr, "fuzz: %ld KiB of memory\n", memory);
    std::abort();
  }
}

Bytes read_input(const std::string& path) {
  const std::string text = gridmill::read_text_file(path);
  return {text.begin(), text.end()};
}

/// Random words that depend on (seed, run) alone.
class Dice {
 public:
  Dice(std::uint32_t seed, std::uint32_t run) : seed_(seed), run_(run) {}
  /// 0 <= result < bound.
  std::size_t below(std::size_t bound) {
    if (next_ == 4) {
      words_ = gridmill::philox4x32({counter_++, run_, 0, 0}, {seed_, 0});
      next_ = 0;
    }
    return words_[next_++] % bound;
  }

 private:
  std::uint32_t seed_;
  std::uint32_t run_;
  std::uint32_t counter_ = 0;
  std::size_t next_ = 4;
  std::array<std::uint32_t, 4> words_{};
};

/// One small change of the kinds that find bugs in parsers.
void mutate_once(Bytes& input, const std::vector<Bytes>& seeds, Dice& dice) {
  static constexpr std::array<std::uint8_t, 12> kInteresting = {0,   1,   0x7F, 0x80, 0xFF, '"',
                                                                '{', '[', ':',  '\n', '-',  '9'};
  const std::size_t at = dice.below(input.size() + 1);
  const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
  const std::size_t left = input.size() - at;
  switch (dice.below(8)) {
    case 0:  // one bit
      if (left > 0) *place = static_cast<std::uint8_t>(*place ^ (1U << dice.below(8)));
      break;
    case 1:  // one byte
      if (left > 0) *place = kInteresting[dice.below(kInteresting.size())];
      break;
    case 2:
      input.insert(place, kInteresting[dice.below(kInteresting.size())]);
      break;
    case 3:  // remove a piece
      input.erase(place, place + static_cast<std::ptrdiff_t>(
                                     dice.below(std::min<std::size_t>(left, 16) + 1)));
      break;
    case 4:  // cut short
      input.resize(at);
      break;
    case 5: {  // repeat a piece
      const Bytes piece(place, place + static_cast<std::ptrdiff_t>(
                                           dice.below(std::min<std::size_t>(left, 64) + 1)));
      for (std::size_t times = dice.below(8);
           times > 0 && input.size() + piece.size() <= kLargestInput; --times) {
        input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
      }
      break;
    }
    case 6: {  // continue with another seed
      const Bytes& other = seeds[dice.below(seeds.size())];
      const auto from = static_cast<std::ptrdiff_t>(dice.below(other.size() + 1));
      input.resize(at);
      input.insert(input.end(), other.begin() + from, other.end());
      break;
    }
    default: {  // a number that is too large for its field
      const std::size_t width = std::size_t{1} << dice.below(4);
      for (std::size_t i = 0; i < std::min(width, left); ++i)
        *(place + static_cast<std::ptrdiff_t>(i)) = 0xFF;
      break;
    }
  }
  if (input.size() > kLargestInput) input.resize(kLargestInput);
}

struct Options {
  std::string corpus;
  std::uint32_t first = 0;
  std::uint32_t runs = 10000;
  std::uint32_t seconds = 10;
  std::uint32_t seed = 1;
  std::vector<std::string> files;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.substr(0, 2) != "--") {
      options.files.emplace_back(argument);
      continue;
    }
    if (i + 1 == argc) return false;
    const std::string_view value = argv[++i];
    if (argument == "--corpus") {
      options.corpus = value;
      continue;
    }
    std::uint32_t* number = argument == "--first"     ? &options.first
                            : argument == "--runs"    ? &options.runs
                            : argument == "--seconds" ? &options.seconds
                            : argument == "--seed"    ? &options.seed
                            : argument == "--timeout" ? &g_timeout_s
                                                      : nullptr;
    if (number == nullptr) return false;
    const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (problem != std::errc() || end != value.data() + value.size()) return false;
  }
  return options.corpus.empty() != options.files.empty();
}

int fuzz(const Options& options) {
  std::vector<std::string> paths = options.files;
  if (!options.corpus.empty()) {
    for (const auto& entry : std::filesystem::directory_iterator(options.corpus)) {
      if (entry.is_regular_file()) paths.push_back(entry.path().string());
    }
    std::sort(paths.begin(), paths.end());
  }
  std::vector<Bytes> seeds;
  seeds.reserve(paths.size());
  for (const std::string& path : paths) seeds.push_back(read_input(path));
  if (seeds.empty()) {
    std::fprintf(stderr, "fuzz: no seeds in %s\n", options.corpus.c_str());
    return 66;
  }
  for (const Bytes& seed : seeds) run_one(seed);
  std::uint32_t run = options.first;
  const auto start = gridmill::SteadyClock::now();
  while (options.files.empty() && run - options.first < options.runs &&
         gridmill::seconds_since(start) < options.seconds) {
    std::snprintf(g_number.data(), g_number.size(), "fuzz: mutation %u fails\n", run);
    Dice dice(options.seed, run);
    Bytes input = seeds[dice.below(seeds.size())];
    // One in four goes without knowledge of the structure.
    if (LLVMFuzzerCustomMutator != nullptr && dice.below(4) != 0) {
      const std::size_t size = input.size();
      input.resize(std::max(size, kLargestInput));
      input.resize(LLVMFuzzerCustomMutator(input.data(), size, input.size(),
                                           static_cast<unsigned>(dice.below(1U << 31))));
    } else {
      for (std::size_t changes = 1 + dice.below(4); changes > 0; --changes) {
        mutate_once(input, seeds, dice);
      }
    }
    run_one(input);
    ++run;
  }
  std::printf("fuzz: %zu seeds and %u mutations, no failure, %ld MiB at most\n", seeds.size(),
              run - options.first, peak_memory_kib() >> 10);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(
        stderr,
        "usage: %s --corpus FOLDER [--first M] [--runs N] [--seconds S] [--seed K] [--timeout S] | "
        "FILE...\n",
        argv[0]);
    return 64;
  }
  install_handlers();
  try {
    return fuzz(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fuzz: %s\n", error.what());
    return 66;
  }
}
