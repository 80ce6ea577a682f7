// Work distribution in virtual time, with the product's own lease code: a table for
// docs/performance/simulations.md.
//
// usage: lease_simulation [RANKS...]    default: 64; 10000 takes about a minute

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <string>
#include <vector>

#include "gridmill/base/format.hpp"
#include "simulation/virtual_cluster.hpp"

namespace gridmill::test {
namespace {

constexpr int kRowsPerRank = 320;  // twenty for each slot

/// Log-normal with a median of 200 tokens, cut at 2048: most rows are short, a
/// few are ten times as long.
std::vector<std::uint32_t> heavy_tailed(std::size_t rows) {
  std::mt19937_64 random(1);
  std::vector<std::uint32_t> lengths(rows);
  for (std::uint32_t& length : lengths) {
    // Box and Muller: the standard library's distributions differ between libraries.
    const auto uniform = [&random] {
      return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
    };
    const double radius = std::sqrt(-2 * std::log(uniform()));
    const double normal = radius * std::cos(6.283185307179586 * uniform());
    length = static_cast<std::uint32_t>(std::clamp(200 * std::exp(1.3 * normal), 1.0, 2048.0));
  }
  return lengths;
}

struct Setting {
  const char* name;
  bool sorted;
  double slow_factor;
  int group;
};

ClusterResult simulate(int ranks, const Setting& setting, Division division) {
  ClusterOptions options{.ranks = ranks, .group = std::min(setting.group, ranks)};
  options.division = division;
  options.slow_factor = setting.slow_factor;
  options.lengths = heavy_tailed(static_cast<std::size_t>(ranks) * kRowsPerRank);
  options.report_s = std::max(0.5, 0.0005 * ranks);
  if (setting.sorted) std::sort(options.lengths.begin(), options.lengths.end());
  return VirtualCluster(options).run();
}

void print_row(const Setting& setting, const char* division, const ClusterResult& result) {
  std::fputs(
      fmt::format("| {} | {} | {:.0f} | {:.0f} | {:.1f} % | {:.1f} % | {:.0f} | {:.2f} % | {} |\n",
                  setting.name, division, result.makespan_s, result.best_s,
                  100 * result.efficiency(), 100 * result.idle_share, result.messages_per_s,
                  100 * result.server_share, result.largest_burst)
          .c_str(),
      stdout);
}

bool run(int ranks) {
  std::fputs(
      fmt::format("{} ranks x 16 slots, {} rows, 50 ms a pass\n\n"
                  "| | division | takes s | at best s | efficiency | ranks idle | messages/s "
                  "at rank 0 | its time | largest burst |\n|---|---|---|---|---|---|---|---|---|\n",
                  ranks, ranks * kRowsPerRank)
          .c_str(),
      stdout);
  bool good = true;
  for (const Setting& setting :
       {Setting{"equal ranks", false, 1, 1}, Setting{"one rank half as fast", false, 2, 1},
        Setting{"sorted by length", true, 1, 1}, Setting{"groups of 8 in lock step", false, 1, 8},
        Setting{"the same, sorted", true, 1, 8}}) {
    const ClusterResult block = simulate(ranks, setting, Division::block);
    const ClusterResult cyclic = simulate(ranks, setting, Division::cyclic);
    const ClusterResult leases = simulate(ranks, setting, Division::leases);
    print_row(setting, "block", block);
    print_row(setting, "cyclic", cyclic);
    print_row(setting, "leases", leases);
    // Never behind the obvious division, and never far behind one that happens to fit the input.
    good = good && leases.makespan_s <= block.makespan_s &&
           leases.makespan_s < 1.15 * cyclic.makespan_s;
  }
  std::fputs("\n", stdout);
  return good;
}

/// Small jobs: 1 to 8 rows a slot, of 150 to 250 tokens. No rank may be idle at the end for longer
/// than a row takes.
bool run_small_jobs() {
  constexpr std::uint32_t kLongest = 250;
  constexpr int kSlack = 8;  // passes: the way to rank 0 and back, behind a row's end
  std::fputs(
      "small jobs: longest time at the end in which a rank has nothing to do, in rows of 250 "
      "tokens\n\n| slots | ranks | 1 row a slot | 2 | 4 | 8 |\n|---|---|---|---|---|---|\n",
      stdout);
  bool good = true;
  for (const int slots : {16, 64}) {
    for (const int ranks : {2, 8, 64}) {
      std::string line = fmt::format("| {} | {} |", slots, ranks);
      for (const int rows_per_slot : {1, 2, 4, 8}) {
        ClusterOptions options{.ranks = ranks, .slots = slots, .samples = 4};
        std::mt19937_64 random(7);
        options.lengths.resize(static_cast<std::size_t>(ranks * slots * rows_per_slot));
        for (std::uint32_t& length : options.lengths) {
          length = 150 + static_cast<std::uint32_t>(random() % (kLongest - 149));
        }
        const ClusterResult result = VirtualCluster(options).run();
        const double passes = result.longest_tail_s / options.pass_s;
        line += fmt::format(" {:.2f} |", passes / kLongest);
        good = good && passes <= kLongest + kSlack;
      }
      std::fputs((line + "\n").c_str(), stdout);
    }
  }
  std::fputs("\n", stdout);
  return good;
}

}  // namespace
}  // namespace gridmill::test

int main(int argc, char** argv) {
  try {
    std::vector<int> ranks;
    for (int i = 1; i < argc; ++i) ranks.push_back(std::atoi(argv[i]));
    if (ranks.empty()) ranks.push_back(64);
    bool good = true;
    for (const int count : ranks) good = gridmill::test::run(count) && good;
    if (!good) std::fputs("leases fell behind a static division\n", stderr);
    const bool fair = gridmill::test::run_small_jobs();
    if (!fair) std::fputs("a rank was idle for longer than a row takes\n", stderr);
    good = good && fair;
    return good ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
