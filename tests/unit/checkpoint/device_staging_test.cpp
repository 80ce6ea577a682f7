// On the emulation of a device, whose copies run only when somebody waits for their stream, and
// whose memory the host can look at.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "checkpoint/device_staging_detail.hpp"
#include "support/cuda_under_test.hpp"

namespace gridmill::checkpoint_detail {
namespace {

constexpr std::size_t kPieceBytes = 300;
constexpr std::size_t kPieces = 5;

class DeviceStagingTest : public ::testing::Test {
 protected:
  DeviceStagingTest() {
    for (std::size_t i = 0; i < kPieces; ++i) {
      pieces_.push_back({.begin = i * kPieceBytes, .bytes = kPieceBytes, .items = {}});
    }
  }

  /// Every piece is filled with its number, from 1 on.
  static std::byte content(const UnitPiece& piece) {
    return static_cast<std::byte>(1 + piece.begin / kPieceBytes);
  }
  /// Whether all of a piece, or nothing of it, has arrived.
  [[nodiscard]] bool is_all(const UnitPiece& piece, std::byte value) const {
    const std::byte* first = memory_.data() + piece.begin;
    return std::all_of(first, first + piece.bytes, [value](std::byte b) { return b == value; });
  }

  std::unique_ptr<Backend> backend_ = gridmill::testing::make_cuda(DType::fp32);
  Buffer memory_ = backend_->allocate(kPieces * kPieceBytes);
  DeviceStaging staging_{*backend_, kPieceBytes};
  std::vector<UnitPiece> pieces_;
};

TEST_F(DeviceStagingTest, APieceIsFilledWhileTheOneBeforeIsNotCopiedYet) {
  std::size_t filled = 0;
  upload_pieces(staging_, pieces_, memory_.data(),
                [&](const UnitPiece& piece, std::span<std::byte> host) {
                  if (filled >= 1) {
                    EXPECT_TRUE(is_all(pieces_[filled - 1], std::byte{0})) << "no wait for it";
                  }
                  if (filled >= 2) {
                    const UnitPiece& before = pieces_[filled - 2];
                    EXPECT_TRUE(is_all(before, content(before))) << "its buffer is used again";
                  }
                  std::fill(host.begin(), host.end(), content(piece));
                  ++filled;
                });
  EXPECT_EQ(filled, kPieces);
}

TEST_F(DeviceStagingTest, WhatABufferHeldArrivesAlthoughItIsUsedAgain) {
  upload_pieces(staging_, pieces_, memory_.data(),
                [](const UnitPiece& piece, std::span<std::byte> host) {
                  std::fill(host.begin(), host.end(), content(piece));
                });
  staging_.finish();
  for (const UnitPiece& piece : pieces_) EXPECT_TRUE(is_all(piece, content(piece)));
}

TEST_F(DeviceStagingTest, SeveralCopiesOfOneBufferAreWaitedFor) {
  for (int round = 1; round <= 4; ++round) {
    const std::span<std::byte> host = staging_.next();
    ASSERT_EQ(host.size(), kPieceBytes);
    std::fill(host.begin(), host.end(), static_cast<std::byte>(round));
    staging_.upload(host.first(100), memory_.data() + (round - 1) * 200);
    staging_.upload(host.subspan(100, 100), memory_.data() + (round - 1) * 200 + 100);
  }
  staging_.finish();
  for (int at = 0; at < 800; ++at) {
    ASSERT_EQ(memory_.data()[at], static_cast<std::byte>(1 + at / 200)) << at;
  }
}

}  // namespace
}  // namespace gridmill::checkpoint_detail
