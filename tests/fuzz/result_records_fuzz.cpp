// LIBS: results
// Any bytes as the rows of a result file: recovery judges every row, and a row that it trusts can
// be read, has the size its record claims and agrees with its crcs.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/row.hpp"

namespace {

using namespace gridmill;  // NOLINT(google-build-using-namespace): a program of its own

void require(bool condition) {
  if (!condition) std::abort();
}

constexpr ResultShape kShape{
    .rows = 6, .samples_per_prompt = 2, .max_length = 5, .logprobs = 1, .valid = 1};

ResultLayout layout() {
  ResultLayout layout;
  layout.shape = kShape;
  layout.tokens_offset = kShape.rows * sizeof(RowRecord);
  layout.logprobs_offset = layout.tokens_offset + kShape.rows * kShape.max_length * sizeof(TokenId);
  layout.valid_offset = layout.logprobs_offset + kShape.rows * kShape.max_length * sizeof(float);
  layout.failure_offset = layout.valid_offset + kShape.rows * kShape.max_length;
  return layout;
}

/// The input, repeated nowhere and followed by zeros.
class InputFile final : public RowFile {
 public:
  explicit InputFile(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] const std::string& path() const override { return path_; }
  void read(std::uint64_t offset, std::span<std::byte> out) const override {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = offset + i < bytes_.size() ? bytes_[offset + i] : std::byte{};
    }
  }
  void write(std::uint64_t offset, std::span<const std::byte> in) override {
    bytes_.resize(std::max(bytes_.size(), static_cast<std::size_t>(offset) + in.size()));
    std::copy(in.begin(), in.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void sync() override {}
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) const override {
    return offset < bytes_.size() ? offset : std::numeric_limits<std::uint64_t>::max();
  }

 private:
  std::vector<std::byte> bytes_;
  std::string path_ = "input";
};

/// Gives half of the records right crcs, so that inputs get past them.
void seal_records(InputFile& file, std::uint8_t which) {
  for (RowId row = 0; row < kShape.rows; ++row) {
    if (((which >> row) & 1U) == 0) continue;
    RowRecord record = read_records(file, layout(), row, 1).front();
    record.prompt_index = layout().prompt_of(row);
    record.sample_index = layout().sample_of(row);
    record.stop_index = 0;
    record.flags = 0;
    record = sealed(record);
    file.write(layout().record_at(row), std::as_bytes(std::span(&record, 1)));
  }
}

}  // namespace

/// Other numbers in fields of records (docs/formats/results.md), or of the payload behind them.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  static constexpr std::array<std::size_t, 10> kFields = {0, 2, 4, 8, 12, 16, 20, 22, 24, 28};
  static constexpr std::array<std::uint32_t, 9> kNumbers = {0, 1, 2,          3,         4,
                                                            5, 6, 0x7FFFFFFF, 0xFFFFFFFF};
  const fuzz::Dice dice = fuzz::dice_of(seed);
  std::string input = fuzz::text_of(data, size);
  for (std::size_t changes = 1 + dice(4); changes > 0 && !input.empty(); --changes) {
    const std::size_t field =
        1 + dice(kShape.rows) * sizeof(RowRecord) + fuzz::one_of(kFields, dice);
    switch (dice(4)) {
      case 0:
        fuzz::change_bytes(input, dice);
        break;
      case 1:  // which records are sealed
        input[0] = static_cast<char>(dice(256));
        break;
      default:
        if (field + 4 <= input.size()) {
          const std::uint32_t number = fuzz::one_of(kNumbers, dice);
          std::memcpy(input.data() + field, &number, dice(2) == 0 ? 2 : 4);
        }
        break;
    }
  }
  return fuzz::hand_over(input, data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  InputFile file({bytes.begin() + 1, bytes.end()});
  seal_records(file, data[0]);
  const std::vector<RowState> states = scan_rows(file, layout(), 0, kShape.rows);
  require(states.size() == kShape.rows);
  for (RowId row = 0; row < kShape.rows; ++row) {
    if (states[row] == RowState::damaged) continue;
    const StoredRow stored = read_row(file, layout(), row);  // throws nothing for a trusted row
    require(stored.record.status == static_cast<std::uint16_t>(states[row]));
    require(stored.tokens.size() == stored.record.length);
    require(stored.tokens.size() <= kShape.max_length);
    require(stored.failure.size() <= kFailureBytes);
  }
  return 0;
}
