#include "gridmill/base/row_record.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstring>

#include "gridmill/base/crc32c.hpp"
#include "gridmill/base/ids.hpp"

namespace gridmill {
namespace {

const RowRecord kRecord{.status = static_cast<std::uint16_t>(RowStatus::done),
                        .finish_reason = static_cast<std::uint16_t>(FinishReason::length),
                        .prompt_index = 0x01020304U,
                        .sample_index = 5,
                        .prefix_length = 6,
                        .length = 0x0708090AU,
                        .stop_index = 0,
                        .flags = 0,
                        .payload_crc = 0x0B0C0D0EU};

TEST(RowRecord, LiesInTheFileAsDocumented) {
  EXPECT_EQ(offsetof(RowRecord, status), 0U);
  EXPECT_EQ(offsetof(RowRecord, finish_reason), 2U);
  EXPECT_EQ(offsetof(RowRecord, prompt_index), 4U);
  EXPECT_EQ(offsetof(RowRecord, sample_index), 8U);
  EXPECT_EQ(offsetof(RowRecord, prefix_length), 12U);
  EXPECT_EQ(offsetof(RowRecord, length), 16U);
  EXPECT_EQ(offsetof(RowRecord, stop_index), 20U);
  EXPECT_EQ(offsetof(RowRecord, payload_crc), 24U);
  EXPECT_EQ(offsetof(RowRecord, row_crc), 28U);
  std::array<unsigned char, sizeof(RowRecord)> bytes{};
  std::memcpy(bytes.data(), &kRecord, bytes.size());
  EXPECT_EQ(bytes[0], 1);  // little-endian
  EXPECT_EQ(bytes[2], 3);
  EXPECT_EQ(bytes[4], 0x04);
  EXPECT_EQ(bytes[7], 0x01);
}

TEST(RowRecord, TheChecksumCoversThe28BytesBeforeIt) {
  std::array<std::byte, sizeof(RowRecord)> bytes{};
  std::memcpy(bytes.data(), &kRecord, bytes.size());
  EXPECT_EQ(row_record_crc(kRecord), crc32c(std::span(bytes).first(28)));
  RowRecord other = kRecord;
  other.row_crc = 99;
  EXPECT_EQ(row_record_crc(other), row_record_crc(kRecord));
}

TEST(RowRecord, EveryOtherFieldChangesTheChecksum) {
  std::array<std::byte, sizeof(RowRecord)> bytes{};
  for (std::size_t byte = 0; byte < 28; ++byte) {
    std::memcpy(bytes.data(), &kRecord, bytes.size());
    bytes[byte] ^= std::byte{1};
    RowRecord changed;
    std::memcpy(&changed, bytes.data(), bytes.size());
    EXPECT_NE(row_record_crc(changed), row_record_crc(kRecord)) << byte;
  }
}

TEST(RowRecord, SealingSetsTheChecksumAndNothingElse) {
  RowRecord expected = kRecord;
  expected.row_crc = row_record_crc(kRecord);
  EXPECT_EQ(sealed(kRecord), expected);
  EXPECT_NE(sealed(kRecord).row_crc, 0U);
}

TEST(Ids, TheNumbersAreThoseOfTheResultFile) {
  EXPECT_EQ(static_cast<int>(RowStatus::empty), 0);
  EXPECT_EQ(static_cast<int>(RowStatus::done), 1);
  EXPECT_EQ(static_cast<int>(RowStatus::failed), 2);
  EXPECT_EQ(static_cast<int>(RowStatus::partial), 3);
  EXPECT_EQ(static_cast<int>(FinishReason::none), 0);
  EXPECT_EQ(static_cast<int>(FinishReason::eod), 1);
  EXPECT_EQ(static_cast<int>(FinishReason::stop), 2);
  EXPECT_EQ(static_cast<int>(FinishReason::length), 3);
  EXPECT_EQ(static_cast<int>(FinishReason::error), 4);
}

}  // namespace
}  // namespace gridmill
