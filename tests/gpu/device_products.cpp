// device_products SHAPE ROWS,...: what batch invariance costs. Every matrix product of a pass of
// SHAPE with so many rows, ours (one order of sums whatever the rows, nothing split over the grid)
// beside a free choice: the best of what cuBLASLt proposes, its split inputs included, or ours if
// that is faster. In turns in one run, on weights that no cache holds. A JSON line a product, and
// one a pass.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/captured_launches.hpp"
#include "gpu/pass_products.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/bench/bench.hpp"
#include "gridmill/build_info/version.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/nvcc/library_product.hpp"

namespace gridmill::testing {
namespace {

/// As vendors and frameworks give it to a free choice.
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
/// Launches of a sample, at least: a graph of fewer would be as much start as work.
constexpr std::int64_t kLaunches = 24;
constexpr int kRounds = 9;  ///< in turns; their median counts
constexpr int kTrials = 3;  ///< of each proposal

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// One product with its operands on the device.
class Subject {
 public:
  Subject(Backend& backend, const PassProduct& product, std::int64_t rows, std::int64_t cache_bytes)
      : backend_(backend),
        product_(product),
        rows_(rows),
        gated_(product.fuse == Fuse::interleave),
        library_({.out_dtype = gated_ ? DType::bf16 : DType::fp32,
                  .rows = rows,
                  .outputs = product.shape.outputs,
                  .inputs = product.shape.inputs},
                 kWorkspaceBytes) {
    const MatrixShape& shape = product.shape;
    // Panels are plain rows then: both products read the same memory.
    if (!needs_no_padding(product, backend.panel_outputs())) {
      throw InternalError("device_products needs shapes without padding");
    }
    const std::size_t panel = backend.panel_bytes(shape, MatrixLayout::panels);
    const std::int64_t panels = shape.outputs / backend.panel_outputs();
    const std::size_t bytes = static_cast<std::size_t>(panels) * panel;
    const std::int64_t copies = copies_beyond_cache(static_cast<std::int64_t>(bytes), cache_bytes);
    for (std::int64_t copy = 0; copy < copies; ++copy) {
      Buffer& memory = memory_.emplace_back(backend.allocate(bytes));
      backend.fill_random(stream_, shape, MatrixLayout::panels, panels,
                          static_cast<std::uint64_t>(copy), memory.data());
      weights_.push_back({.shape = shape,
                          .fuse = product.fuse,
                          .layout = MatrixLayout::panels,
                          .panel_bytes = panel,
                          .runs = {{.first_panel = 0, .panels = panels, .data = memory.data()}}});
    }
    x_memory_ = backend.allocate(backend.packed_bytes(rows, shape.inputs));
    x_ = {x_memory_.data(), rows, shape.inputs};
    const MatrixShape x_shape{
        .outputs = rows, .inputs = shape.inputs, .whole_inputs = shape.inputs};
    backend.fill_random(stream_, x_shape, MatrixLayout::rows, rows, 77, x_.data);
    const auto elements = static_cast<std::size_t>(rows * shape.outputs);
    ours_ = backend.allocate(elements * sizeof(float));
    theirs_ = backend.allocate(elements * sizeof(float));
    workspace_ = backend.allocate(kWorkspaceBytes);
    launches_ = copies * ((kLaunches + copies - 1) / copies);
    stream_.synchronize();
  }

  /// As the model calls it: the head in the pieces of a selection.
  void run_ours(const Weight& w) {
    const std::int64_t outputs = product_.shape.outputs;
    auto* out = reinterpret_cast<float*>(ours_.data());
    if (gated_) {
      backend_.linear_gated(stream_, x_, w, {}, Activation::silu,
                            {ours_.data(), rows_, outputs / 2});
    } else if (product_.shape.row_parallel) {
      backend_.linear_row_parallel(stream_, x_, w, {}, false, {out, rows_, outputs, outputs});
    } else {
      const std::int64_t piece = product_.head ? kLogitRows : rows_;
      for (std::int64_t first = 0; first < rows_; first += piece) {
        const std::int64_t count = std::min(piece, rows_ - first);
        const PackedRows x{x_.data + backend_.packed_bytes(first, x_.inputs), count, x_.inputs};
        backend_.linear(stream_, x, w, {}, 0, {out + first * outputs, count, outputs, outputs});
      }
    }
  }
  void run_library(int proposal, const Weight& w) {
    library_.run(proposal, stream_.direct(), x_.data, w.runs.front().data, theirs_.data(),
                 workspace_.data());
  }

  /// Both have to be products of the same numbers, or their times mean nothing.
  void check() {
    run_ours(weights_.front());
    run_library(0, weights_.front());
    const auto outputs = static_cast<std::size_t>(product_.shape.outputs);
    if (gated_) return check_gated(outputs);
    std::vector<float> ours(outputs);
    std::vector<float> theirs(outputs);
    backend_.download(stream_, ours_.data(), std::as_writable_bytes(std::span(ours)));
    backend_.download(stream_, theirs_.data(), std::as_writable_bytes(std::span(theirs)));
    stream_.synchronize();
    compare(ours, theirs);
  }

  /// Best proposal, by a few runs of each. @throws SystemError if none can be run.
  int choose() {
    int best = -1;
    double best_seconds = 1e30;
    for (int proposal = 0; proposal < library_.proposals(); ++proposal) {
      if (!can_run(proposal)) continue;
      const CapturedLaunches launches = capture([&](const Weight& w) { run_library(proposal, w); });
      static_cast<void>(launches.run());
      for (int trial = 0; trial < kTrials; ++trial) {
        const double seconds = launches.run();
        if (seconds < best_seconds) {
          best_seconds = seconds;
          best = proposal;
        }
      }
    }
    if (best < 0) throw SystemError(product_.name + ": the library can run none of its proposals");
    return best;
  }

  ProductSeconds measure(int proposal) {
    const CapturedLaunches ours = capture([&](const Weight& w) { run_ours(w); });
    const CapturedLaunches theirs = capture([&](const Weight& w) { run_library(proposal, w); });
    std::vector<double> our_seconds;
    std::vector<double> their_seconds;
    static_cast<void>(ours.run());
    static_cast<void>(theirs.run());
    for (int round = 0; round < kRounds; ++round) {
      our_seconds.push_back(ours.run());
      their_seconds.push_back(theirs.run());
    }
    const auto launches = static_cast<double>(launches_);
    return {.ours = median(our_seconds) / launches, .library = median(their_seconds) / launches};
  }

  [[nodiscard]] const cuda::LibraryProduct& library() const { return library_; }
  [[nodiscard]] std::size_t copies() const { return weights_.size(); }
  [[nodiscard]] int refused() const { return refused_; }

 private:
  /// Runs it once: code that is loaded at its first use is there before a capture.
  bool can_run(int proposal) {
    try {
      run_library(proposal, weights_.front());
    } catch (const SystemError& error) {
      ++refused_;
      std::fprintf(stderr, "device_products: %s, proposal %d: %s\n", product_.name.c_str(),
                   proposal, error.what());
      return false;
    }
    stream_.synchronize();
    return true;
  }
  template <typename Run>
  CapturedLaunches capture(const Run& run) {
    return CapturedLaunches(stream_.direct(), [&] {
      for (std::int64_t i = 0; i < launches_; ++i) {
        run(weights_[static_cast<std::size_t>(i) % weights_.size()]);
      }
    });
  }
  /// The library has gate and up, in alternating panels, of which ours makes one.
  void check_gated(std::size_t outputs) {
    std::vector<Bf16> ours(outputs / 2);
    std::vector<Bf16> theirs(outputs);
    backend_.download(stream_, ours_.data(), std::as_writable_bytes(std::span(ours)));
    backend_.download(stream_, theirs_.data(), std::as_writable_bytes(std::span(theirs)));
    stream_.synchronize();
    const auto panel = static_cast<std::size_t>(backend_.panel_outputs());
    std::vector<float> found;
    std::vector<float> expected;
    for (std::size_t i = 0; i < outputs / 2; ++i) {
      const std::size_t at = i / panel * 2 * panel + i % panel;
      const float gate = bf16_to_fp32(theirs[at]);
      found.push_back(bf16_to_fp32(ours[i]));
      expected.push_back(gate / (1 + std::exp(-gate)) * bf16_to_fp32(theirs[at + panel]));
    }
    compare(found, expected);
  }
  /// bf16 keeps 8 bits: 2 % of the largest value is far from any rounding, and from any mistake.
  void compare(const std::vector<float>& ours, const std::vector<float>& theirs) const {
    float largest = 0;
    float difference = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      largest = std::max(largest, std::fabs(theirs[i]));
      difference = std::max(difference, std::fabs(ours[i] - theirs[i]));
    }
    if (!(difference <= 0.02F * largest) || largest == 0) {
      throw InternalError(fmt::format("{}: ours and the library's differ by {}, of at most {}",
                                      product_.name, difference, largest));
    }
  }

  Backend& backend_;
  PassProduct product_;
  std::int64_t rows_;
  bool gated_;
  cuda::CudaStream stream_;
  cuda::LibraryProduct library_;
  std::vector<Buffer> memory_;
  std::vector<Weight> weights_;
  Buffer x_memory_;
  PackedRows x_;
  Buffer ours_;
  Buffer theirs_;
  Buffer workspace_;
  std::int64_t launches_ = 0;
  int refused_ = 0;  ///< proposals that cannot be run
};

void print(const OrderedJson& line) {
  std::puts(line.dump().c_str());
  std::fflush(stdout);
}

void measure_pass(Backend& backend, const std::string& shape, const Model& model, std::int64_t rows,
                  std::int64_t cache_bytes) {
  PassSeconds pass;
  for (const PassProduct& product : pass_products(model)) {
    const std::int64_t product_row_count = product_rows(product, rows);
    Subject subject(backend, product, product_row_count, cache_bytes);
    subject.check();
    const int proposal = subject.choose();
    const ProductSeconds seconds = subject.measure(proposal);
    pass.add(product.calls, seconds);
    print({{"record", "product"},
           {"shape", shape},
           {"pass_rows", rows},
           {"product", product.name},
           {"rows", product_row_count},
           {"outputs", product.shape.outputs},
           {"inputs", product.shape.inputs},
           {"calls", product.calls},
           {"weight_copies", subject.copies()},
           {"ours_us", 1e6 * seconds.ours},
           {"library_us", 1e6 * seconds.library},
           {"ratio", seconds.ours / seconds.free_choice()},
           {"library_proposals", subject.library().proposals()},
           {"library_refused", subject.refused()},
           {"library_splits", subject.library().splits(proposal)}});
  }
  print({{"record", "invariance"},
         {"shape", shape},
         {"rows", rows},
         {"ours_us", 1e6 * pass.ours},
         {"library_us", 1e6 * pass.library},
         {"free_choice_us", 1e6 * pass.free_choice},
         {"cost", pass.cost()},
         {"backend", backend.name()},
         {"target", backend.target()},
         {"version", version()},
         {"git", git_hash()},
         {"at", utc_timestamp()}});
}

std::vector<std::int64_t> row_counts_of(std::string_view text) {
  std::vector<std::int64_t> counts;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), count);
    if (error != std::errc() || end != part.data() + part.size() || count < 1) {
      throw UsageError(fmt::format("'{}' is no number of rows", part));
    }
    counts.push_back(count);
    text.remove_prefix(std::min(text.size(), part.size() + 1));
  }
  return counts;
}

void run(const std::string& shape, std::string_view rows) {
  const auto model = make_model(model_of_shape(shape, {}));
  const std::vector<std::int64_t> row_counts = row_counts_of(rows);
  const auto backend = make_backend("cuda", {.compute_dtype = DType::bf16});
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  int cache_bytes = 0;
  check_cuda(cudaDeviceGetAttribute(&cache_bytes, cudaDevAttrL2CacheSize, device),
             "cudaDeviceGetAttribute");
  for (const std::int64_t count : row_counts) {
    measure_pass(*backend, shape, *model, count, cache_bytes);
  }
}

}  // namespace
}  // namespace gridmill::testing

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: device_products SHAPE ROWS,...\n", stderr);
    return 64;
  }
  try {
    gridmill::testing::run(argv[1], argv[2]);
  } catch (const gridmill::Error& error) {
    std::fprintf(stderr, "device_products: error: %s\n", error.what());
    return static_cast<int>(error.code());
  }
  return 0;
}
