// LIBS: convert tokenizer
// Any bytes as a GGUF file: refused with an error of ours, or every tensor can be read and the
// tokenizer loads.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "convert/gguf/gguf.hpp"
#include "fuzz/mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"
#include "support/temporary_folder.hpp"

/// Numbers of four or eight bytes anywhere (counts, lengths, types, extents, offsets), else bytes.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  using namespace gridmill::fuzz;  // NOLINT(google-build-using-namespace): its drivers' business
  constexpr std::array<std::uint64_t, 14> kNumbers = {
      0, 1, 2, 3, 8, 9, 12, 31, 255, 1ULL << 20, 1ULL << 31, 1ULL << 40, 1ULL << 63, ~0ULL};
  const Dice dice = dice_of(seed);
  std::string input = text_of(data, size);
  for (std::size_t changes = 1 + dice(3); changes > 0; --changes) {
    const std::size_t bytes = dice(2) == 0 ? 4 : 8;
    if (dice(4) == 0 || input.size() < bytes) {
      change_bytes(input, dice);
      continue;
    }
    const std::uint64_t number = one_of(kNumbers, dice);
    std::memcpy(input.data() + dice(input.size() - bytes + 1), &number, bytes);
  }
  return hand_over(input, data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gridmill;  // NOLINT(google-build-using-namespace): short names in one function
  // In memory if possible: a disk would be the slowest part by far.
  static const int once =
      std::filesystem::exists("/dev/shm") ? ::setenv("TMPDIR", "/dev/shm", 0) : 0;
  static_cast<void>(once);
  static const test::TemporaryFolder folder;
  const std::string path = folder.write("m.gguf", fuzz::text_of(data, size));
  try {
    const convert_detail::GgufModel gguf = convert_detail::open_gguf(path);
    for (const std::string& name : gguf.model.tensors.unused()) {
      const convert_detail::ForeignTensor& tensor = *gguf.model.tensors.find(name);
      constexpr std::int64_t kMost = 4096;
      std::vector<float> values(
          static_cast<std::size_t>(std::min(kMost, convert_detail::element_count(tensor.shape()))));
      tensor.read(0, values);
    }
    const convert_detail::FoundTokenizer found = gguf.tokenizer();
    if (!found.kind.empty()) static_cast<void>(make_tokenizer(found.kind, found.bytes, 0));
  } catch (const Error& error) {
    if (error.code() == ExitCode::internal) std::abort();
  }
  return 0;
}
