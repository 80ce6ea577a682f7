// One flipped bit anywhere in a result file, and what the next run of the job makes of it.

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/result_store.hpp"
#include "support/temporary_folder.hpp"
#include "unit/results/sample.hpp"

namespace gridmill {
namespace {

using test::SampleRow;

constexpr ResultShape kShape{
    .rows = 40, .samples_per_prompt = 2, .max_length = 30, .logprobs = 1, .valid = 1};
constexpr const char* kVersion = "0.1.0";  // as create_sample() has it

/// A finished file, damaged anew by each check.
class Damage : public ::testing::Test {
 protected:
  Damage() {
    test::create_sample(path_, kShape);
    layout_ = ResultFile::open(path_).layout();
    ResultStore store = ResultStore::open(path_, layout_);
    for (RowId row = 0; row < kShape.rows; ++row) store.put(SampleRow(kShape, row).result());
    store.close();
    whole_ = read_text_file(path_);
  }

  /// Opens the file as a run of the job does that goes on with it. @return damaged parts found.
  std::size_t repair() {
    const JobIdentity identity = test::sample_identity(kShape.samples_per_prompt);
    std::size_t found = ResultFile::restore(path_, identity, kShape, kVersion) ? 1 : 0;
    const ResultFile file = ResultFile::open(path_);
    file.require_same_job(identity, kShape);
    const auto states = scan_rows(file.rows(), file.layout(), 0, kShape.rows);
    const std::vector<RowId> damaged = rows_in_state(states, RowState::damaged);
    ResultStore store = ResultStore::open(path_, file.layout());
    store.discard(damaged);
    for (const RowId row : damaged) store.put(SampleRow(kShape, row).result());
    store.close();
    return found + damaged.size();
  }

  void expect_repaired_after_a_flip(std::uint64_t byte, unsigned bit) {
    test::flip_bit(path_, byte, bit);
    std::size_t found = 0;
    ASSERT_NO_THROW(found = repair()) << "byte " << byte << ", bit " << bit;
    ASSERT_EQ(found, 1U) << "byte " << byte << ", bit " << bit;
    ASSERT_TRUE(read_text_file(path_) == whole_) << "byte " << byte << ", bit " << bit;
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_.file("out.h5");
  ResultLayout layout_;
  std::string whole_;
};

TEST_F(Damage, AFlippedBitAnywhereIsFoundAndRepaired) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 1500; ++i) {
    const std::uint64_t byte = random() % whole_.size();
    ASSERT_NO_FATAL_FAILURE(
        expect_repaired_after_a_flip(byte, static_cast<unsigned>(random() % 8)));
  }
}

TEST_F(Damage, AFlippedBitInTheRecordsIsFoundAndRepaired) {
  for (std::uint64_t byte = 0; byte < kShape.rows * sizeof(RowRecord); byte += 3) {
    ASSERT_NO_FATAL_FAILURE(
        expect_repaired_after_a_flip(layout_.rows_offset + byte, static_cast<unsigned>(byte % 8)));
  }
}

TEST_F(Damage, AFlippedBitInTheFirstPagesIsFoundAndRepaired) {
  // Superblock, checksum block and the headers of the first objects.
  for (std::uint64_t byte = 0; byte < 8192; byte += 7) {
    if (byte >= layout_.rows_offset &&
        byte < layout_.rows_offset + kShape.rows * sizeof(RowRecord)) {
      continue;
    }
    ASSERT_NO_FATAL_FAILURE(expect_repaired_after_a_flip(byte, static_cast<unsigned>(byte % 8)));
  }
}

TEST_F(Damage, AFileThatWasCutAnywhereIsRefused) {
  std::mt19937_64 random(6);
  for (int i = 0; i < 60; ++i) {
    write_file_atomically(path_, whole_.substr(0, random() % whole_.size()));
    ASSERT_THROW(repair(), FormatError);
  }
}

TEST_F(Damage, MetadataOfAnotherJobAreNotPutIn) {
  test::flip_bit(path_, 20, 1);
  JobIdentity other = test::sample_identity(kShape.samples_per_prompt);
  other.fields["seed"] = 8;
  EXPECT_FALSE(ResultFile::restore(path_, other, kShape, kVersion));
  ResultShape shape = kShape;
  shape.rows += 2;
  EXPECT_FALSE(ResultFile::restore(path_, test::sample_identity(kShape.samples_per_prompt), shape,
                                   kVersion));
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
}

TEST_F(Damage, AnotherVersionRestoresWhatTheFileNames) {
  // The text of an attribute is damaged, so the file still opens and says who made it.
  const std::size_t seed = whole_.find("\"seed\":7");
  ASSERT_NE(seed, std::string::npos);
  test::flip_bit(path_, seed + 7, 0);
  EXPECT_TRUE(ResultFile::restore(path_, test::sample_identity(kShape.samples_per_prompt), kShape,
                                  "9.9.9"));
  EXPECT_TRUE(read_text_file(path_) == whole_);
}

}  // namespace
}  // namespace gridmill
