#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/compression/packer.hpp"
#include "gridmill/compression/unpacker.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

using test::TemporaryFolder;

std::string packed(Compression kind, const std::string& text) {
  std::string bytes;
  Packer packer(kind, [&](std::span<const std::byte> part) {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  });
  packer.write(text);
  packer.finish();
  return bytes;
}

/// Lines that differ, some 3 MiB.
std::string long_text() {
  std::string text;
  for (int i = 0; i < 100'000; ++i) {
    text += "line " + std::to_string(i * 7919) + " of a file that is packed\n";
  }
  return text;
}

struct Unpacked {
  std::string text;
  std::vector<UnpackStart> starts;
};

Unpacked unpacked(Compression kind, const std::string& bytes, std::size_t chunk = 100'000,
                  UnpackStart start = {}) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", bytes);
  const FileDescriptor file = open_for_reading(path);
  Unpacker unpacker(file, path, kind, start);
  Unpacked result;
  std::string part(chunk, '\0');
  for (std::size_t got = chunk; got == chunk;) {
    got = unpacker.read(std::as_writable_bytes(std::span(part)));
    result.text += part.substr(0, got);
    if (result.starts.empty() || !(result.starts.back() == unpacker.last_start())) {
      result.starts.push_back(unpacker.last_start());
    }
  }
  EXPECT_EQ(unpacker.position(), start.unpacked + result.text.size());
  return result;
}

std::string error_of(Compression kind, const std::string& bytes) {
  try {
    static_cast<void>(unpacked(kind, bytes));
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

class Archives : public ::testing::TestWithParam<Compression> {};

TEST_P(Archives, ComeBackAsTheyWere) {
  for (const std::string& text : {std::string(), std::string("x"), long_text()}) {
    const std::string bytes = packed(GetParam(), text);
    EXPECT_EQ(unpacked(GetParam(), bytes).text, text);
    EXPECT_EQ(unpacked(GetParam(), bytes, 1 + text.size() / 3).text, text);
  }
}

TEST_P(Archives, HaveTheSameBytesHoweverTheyAreWritten) {
  const std::string text = long_text();
  std::string bytes;
  Packer packer(GetParam(), [&](std::span<const std::byte> part) {
    bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  });
  for (std::size_t at = 0; at < text.size(); at += 1000) {
    packer.write(std::string_view(text).substr(at, 1000));
  }
  packer.finish();
  EXPECT_EQ(bytes, packed(GetParam(), text));
}

TEST_P(Archives, OfSeveralPartsAreOneTextAndCanBeEnteredAtEachPart) {
  const std::string first = packed(GetParam(), "first\n");
  const std::string bytes = first + packed(GetParam(), long_text()) + packed(GetParam(), "last\n");
  const Unpacked all = unpacked(GetParam(), bytes, 3);
  EXPECT_EQ(all.text, "first\n" + long_text() + "last\n");
  ASSERT_EQ(all.starts.size(), 3U);
  EXPECT_EQ(all.starts[1], (UnpackStart{.packed = first.size(), .unpacked = 6}));
  EXPECT_EQ(unpacked(GetParam(), bytes, 1000, all.starts[2]).text, "last\n");
  EXPECT_EQ(unpacked(GetParam(), bytes, 1000, all.starts[1]).text, long_text() + "last\n");
}

TEST_P(Archives, CutShortAnywhereAreRefused) {
  const std::string bytes = packed(GetParam(), "a text of some length, a text of some length");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(error_of(GetParam(), bytes.substr(0, size)).find("cut short"), std::string::npos)
        << size;
  }
  EXPECT_NE(
      error_of(GetParam(), packed(GetParam(), long_text()).substr(0, 50'000)).find("cut short"),
      std::string::npos);
}

TEST_P(Archives, ThatAreDamagedAreRefused) {
  std::string bytes = packed(GetParam(), long_text());
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
  EXPECT_NE(error_of(GetParam(), bytes), "");
  EXPECT_NE(error_of(GetParam(), "{\"prompt\": \"no archive\"}\n").find("damaged, or no"),
            std::string::npos);
  EXPECT_NE(error_of(GetParam(), packed(GetParam(), "x") + "rest").find("damaged, or no"),
            std::string::npos);
}

TEST_P(Archives, ShowTheirOwnBytesToAnObserver) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x", packed(GetParam(), long_text()));
  const FileDescriptor file = open_for_reading(path);
  ContentHash hash;
  Unpacker unpacker(file, path, GetParam(), {},
                    [&](std::span<const std::byte> bytes) { hash.update(bytes); });
  std::string part(1 << 20, '\0');
  while (unpacker.read(std::as_writable_bytes(std::span(part))) == part.size()) {
  }
  EXPECT_EQ(hash.hex(), content_hash_of_file(path));
}

INSTANTIATE_TEST_SUITE_P(Kinds, Archives, ::testing::Values(Compression::gzip, Compression::zstd),
                         [](const auto& instance) {
                           return instance.param == Compression::gzip ? "gzip" : "zstd";
                         });

TEST(Gzip, ZerosBehindTheLastMemberArePadding) {
  const std::string padding(3 << 20, '\0');
  EXPECT_EQ(unpacked(Compression::gzip, packed(Compression::gzip, "x") + padding).text, "x");
}

TEST(CompressionName, IsTheEndOfTheName) {
  EXPECT_EQ(compression_of("a.jsonl.gz"), Compression::gzip);
  EXPECT_EQ(compression_of("a.txt.zst"), Compression::zstd);
  EXPECT_EQ(compression_of("a.jsonl"), Compression::none);
  EXPECT_EQ(without_compression("a.jsonl.gz"), "a.jsonl");
  EXPECT_EQ(without_compression("a.jsonl.zst"), "a.jsonl");
  EXPECT_EQ(without_compression("a.jsonl"), "a.jsonl");
}

}  // namespace
}  // namespace gridmill
