#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "generator_fixture.hpp"
#include "gridmill/base/process.hpp"

namespace gridmill::test {
namespace {

constexpr int kRows = 256;
constexpr std::int64_t kVocabulary = 120000;
constexpr std::uint64_t kLogitBytes = std::uint64_t{kRows} * kVocabulary * sizeof(float);

/// Peak memory of this process beyond what it had when this was made.
class PeakGrowth {
 public:
  [[nodiscard]] std::uint64_t bytes() const { return peak_resident_bytes() - before_; }

 private:
  std::uint64_t before_ = peak_resident_bytes();
};

TEST(GeneratorMemory, NoLogitsOfAllRowsAreKeptUnlessSomebodyAsksForThem) {
  Json config = llama_config();
  config["vocab_size"] = kVocabulary;
  const auto backend = make_backend("cpu", {.compute_dtype = DType::bf16});
  ModelRun run(config, *backend, kRows, 8);
  Generator generator(*run.model, run.context, run.parameters, {.slots = kRows, .max_length = 8});
  for (int row = 0; row < kRows; ++row) {
    Request request;
    request.row = static_cast<RowId>(row);
    request.prompt = {static_cast<TokenId>(row)};
    request.sampling.temperature = row % 2 == 0 ? 0.0F : 0.8F;
    request.logprobs = row % 3 == 0;
    request.max_length = 8;
    ASSERT_TRUE(generator.admit(request));
  }
  const PeakGrowth generating;
  for (int pass = 0; pass < 3; ++pass) EXPECT_TRUE(generator.step().empty());
  ASSERT_EQ(generator.statistics().new_tokens, 3 * kRows);
  EXPECT_LT(generating.bytes(), kLogitBytes / 2);

  // What would be seen otherwise.
  std::vector<TokenId> tokens(kRows);
  std::vector<RowSpan> spans;
  for (SlotId slot = 0; slot < kRows; ++slot) {
    spans.push_back(
        {.slot = slot, .tokens = std::span(&tokens[static_cast<std::size_t>(slot)], 1)});
  }
  const PeakGrowth with_logits;
  EXPECT_EQ(run.feed(spans).extent(0), kRows);
  EXPECT_GE(with_logits.bytes(), kLogitBytes);
}

}  // namespace
}  // namespace gridmill::test
