#include "gridmill/h5/dataset.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/row_record.hpp"
#include "gridmill/h5/file.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::h5 {
namespace {

using test::TemporaryFolder;

template <typename T>
void write_dataset(File& file, const std::string& name, ElementType type,
                   const std::vector<std::uint64_t>& shape, const std::vector<T>& values) {
  file.create_dataset(name, type, shape)
      .write_rows(0, shape.empty() ? 1 : shape[0], std::as_bytes(std::span(values)));
}

TEST(H5Dataset, IsContiguousAlignedAndReadableAtItsOffset) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  File created = File::create(path);
  write_dataset<std::int32_t>(created, "/a", ElementType::of(Kind::i32), {2, 3},
                              {1, 2, 3, 4, 5, 6});
  write_dataset<float>(created, "/b", ElementType::of(Kind::fp32), {2}, {0.5F, -1.0F});
  created.close();
  const File file = File::open(path);
  const Dataset a = file.dataset("/a");
  ASSERT_TRUE(a.offset().has_value());
  EXPECT_EQ(*a.offset() % 4096, 0U);
  EXPECT_EQ(*file.dataset("/b").offset() % 4096, 0U);
  std::array<std::int32_t, 6> raw{};
  read_exactly(open_for_reading(path), *a.offset(), std::as_writable_bytes(std::span(raw)), path);
  EXPECT_EQ(raw, (std::array<std::int32_t, 6>{1, 2, 3, 4, 5, 6}));
}

TEST(H5Dataset, RowsThatWereNeverWrittenAreZeroAndTakeNoRoom) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  File created = File::create(path);
  static_cast<void>(created.create_dataset("/big", ElementType::of(Kind::i32), {1 << 20, 256}));
  created.close();
  const File file = File::open(path);
  EXPECT_EQ(file.dataset("/big").read_rows_as<std::int32_t>((1 << 20) - 1, 1),
            std::vector<std::int32_t>(256, 0));
}

TEST(H5Dataset, RowSlabsOfAnyRankComeBack) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  std::vector<std::int32_t> values(5 * 2 * 3);
  std::iota(values.begin(), values.end(), 0);
  File created = File::create(path);
  write_dataset(created, "/a", ElementType::of(Kind::i32), {5, 2, 3}, values);
  created.close();
  const Dataset a = File::open(path).dataset("/a");  // outlives its File
  EXPECT_EQ(a.row_elements(), 6U);
  EXPECT_EQ(a.read_rows_as<std::int32_t>(3, 2),
            std::vector<std::int32_t>(values.begin() + 18, values.end()));
  EXPECT_EQ(a.read_rows_as<std::int64_t>(3, 2),
            std::vector<std::int64_t>(values.begin() + 18, values.end()));
  EXPECT_TRUE(a.read_rows_as<std::int32_t>(5, 0).empty());
  EXPECT_THROW(static_cast<void>(a.read_rows_as<std::int32_t>(4, 2)), FormatError);
  EXPECT_THROW(static_cast<void>(a.read_rows_as<std::int32_t>(6, 0)), FormatError);
}

TEST(H5Dataset, ScalarsHaveOneRow) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  File created = File::create(path);
  write_dataset<double>(created, "/x", ElementType::of(Kind::fp64), {}, {2.5});
  created.close();
  const File file = File::open(path);
  EXPECT_TRUE(file.dataset("/x").shape().empty());
  EXPECT_EQ(file.dataset("/x").read_as<double>(), std::vector<double>{2.5});
  EXPECT_EQ(file.dataset("/x").read_as<float>(), std::vector<float>{2.5F});
}

TEST(H5Dataset, EveryKindThatIsWrittenIsRecognised) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  File created = File::create(path);
  for (int i = 0; i < static_cast<int>(Kind::other); ++i) {
    const Kind kind = static_cast<Kind>(i);
    const ElementType type =
        kind == Kind::fixed_text ? ElementType::fixed_text(256) : ElementType::of(kind);
    static_cast<void>(created.create_dataset(fmt::format("/{}", i), type, {2}));
  }
  created.close();
  const File file = File::open(path);
  for (int i = 0; i < static_cast<int>(Kind::other); ++i) {
    const Dataset dataset = file.dataset(fmt::format("/{}", i));
    EXPECT_EQ(static_cast<int>(dataset.type().kind), i);
    EXPECT_EQ(dataset.offset().has_value(), dataset.type().kind != Kind::variable_text);
  }
  EXPECT_EQ(file.dataset("/" + std::to_string(static_cast<int>(Kind::fixed_text))).type(),
            ElementType::fixed_text(256));
}

TEST(H5Dataset, Bf16AndFp16ConvertExactly) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const std::vector<float> values = {0.0F, -1.5F, 3.140625F, 1e30F, -1e-30F};
  std::vector<std::uint16_t> bf16;
  std::vector<float> expected;
  for (const float value : values) {
    bf16.push_back(fp32_to_bf16(value));
    expected.push_back(bf16_to_fp32(bf16.back()));
  }
  const std::vector<std::uint16_t> fp16 = {0x3C00, 0xC000, 0x3555, 0x0001, 0x7BFF};
  File created = File::create(path);
  write_dataset(created, "/bf16", ElementType::of(Kind::bf16), {5}, bf16);
  write_dataset(created, "/fp16", ElementType::of(Kind::fp16), {5}, fp16);
  created.close();
  const File file = File::open(path);
  EXPECT_EQ(file.dataset("/bf16").read_as<float>(), expected);
  std::vector<float> fp16_expected;
  for (const std::uint16_t value : fp16) fp16_expected.push_back(fp16_to_fp32(value));
  EXPECT_EQ(file.dataset("/fp16").read_as<float>(), fp16_expected);
}

TEST(H5Dataset, FloatsAreNotSilentlyReadAsIntegers) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  File created = File::create(path);
  write_dataset<float>(created, "/x", ElementType::of(Kind::fp32), {1}, {2.5F});
  static_cast<void>(created.create_dataset("/rows", ElementType::of(Kind::row_record), {1}));
  created.close();
  const File file = File::open(path);
  EXPECT_THROW(static_cast<void>(file.dataset("/x").read_as<std::int32_t>()), FormatError);
  EXPECT_THROW(static_cast<void>(file.dataset("/rows").read_as<float>()), FormatError);
  EXPECT_THROW(static_cast<void>(file.dataset("/x").read_texts()), FormatError);
}

TEST(H5Dataset, RowRecordsAreStoredByteForByte) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const std::vector<RowRecord> records = {sealed({.status = 1,
                                                  .finish_reason = 3,
                                                  .prompt_index = 4,
                                                  .sample_index = 5,
                                                  .prefix_length = 6,
                                                  .length = 7,
                                                  .payload_crc = 8}),
                                          RowRecord{}};
  File created = File::create(path);
  write_dataset(created, "/rows", ElementType::of(Kind::row_record), {2}, records);
  created.close();
  std::vector<RowRecord> read(2);
  File::open(path).dataset("/rows").read_rows(0, 2, std::as_writable_bytes(std::span(read)));
  EXPECT_EQ(read, records);
}

TEST(H5Dataset, FixedTextsEndAtTheirFirstZeroOrFillTheirRoom) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const std::string bytes("ab\0\0wxyz", 8);
  File created = File::create(path);
  created.create_dataset("/t", ElementType::fixed_text(4), {2})
      .write_rows(0, 2, std::as_bytes(std::span(bytes)));
  created.close();
  EXPECT_EQ(File::open(path).dataset("/t").read_texts(), (std::vector<std::string>{"ab", "wxyz"}));
}

TEST(H5Dataset, StoredRowsMayBeReadByManyThreadsAtOnce) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  std::vector<std::int32_t> values(1024);
  std::iota(values.begin(), values.end(), 0);
  File created = File::create(path);
  write_dataset(created, "/a", ElementType::of(Kind::i32), {1024}, values);
  created.close();
  const Dataset a = File::open(path).dataset("/a");
  std::vector<std::int32_t> read(1024);
  std::vector<std::thread> threads;
  for (std::size_t part = 0; part < 4; ++part) {
    threads.emplace_back([&, part] {
      a.read_rows(part * 256, 256,
                  std::as_writable_bytes(std::span(read).subspan(part * 256, 256)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(read, values);
}

}  // namespace
}  // namespace gridmill::h5
