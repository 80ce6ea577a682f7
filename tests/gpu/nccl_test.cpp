// NCCL on one rank: the code path of many, since two ranks may not share a device.
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/nccl_exchange.hpp"
#include "support/cuda_under_test.hpp"

namespace gridmill::cuda {
namespace {

std::vector<std::byte> pattern(std::size_t size_bytes, unsigned seed) {
  std::vector<std::byte> bytes(size_bytes);
  for (std::size_t i = 0; i < size_bytes; ++i) {
    seed = seed * 1664525U + 1013904223U;
    bytes[i] = static_cast<std::byte>(seed >> 24);
  }
  return bytes;
}

class NcclOfOneRank : public ::testing::Test {
 protected:
  std::vector<std::byte> download(const Buffer& buffer, Stream& stream) {
    std::vector<std::byte> bytes(buffer.size_bytes());
    backend_->download(stream, buffer.data(), bytes);
    stream.synchronize();
    return bytes;
  }

  std::unique_ptr<Backend> backend_ = testing::make_cuda(DType::bf16);
  std::unique_ptr<Stream> compute_ = backend_->make_stream();
  std::unique_ptr<Stream> gather_ = backend_->make_stream();
  NoExchange alone_;
  NcclExchange nccl_{alone_};
};

TEST_F(NcclOfOneRank, GathersItsPartInStreamOrder) {
  const std::vector<std::byte> sent = pattern(1'000'003, 1);
  const Buffer part = backend_->allocate(sent.size());
  const Buffer whole = backend_->allocate(sent.size());
  backend_->upload(*compute_, sent, part.data());
  nccl_.all_gather(*compute_, part.data(), sent.size(), whole.data());
  EXPECT_TRUE(download(whole, *compute_) == sent);
}

TEST_F(NcclOfOneRank, GathersBehindAnotherStreamAndBeforeIt) {
  // As layers are gathered: the second stream waits for the first, and the first for the second.
  const std::vector<std::byte> sent = pattern(64 << 20, 2);
  const Buffer part = backend_->allocate(sent.size());
  const Buffer whole = backend_->allocate(sent.size());
  backend_->upload(*compute_, sent, part.data());
  backend_->order(*gather_, *compute_);
  nccl_.all_gather(*gather_, part.data(), sent.size(), whole.data());
  backend_->order(*compute_, *gather_);
  EXPECT_TRUE(download(whole, *compute_) == sent);
}

TEST_F(NcclOfOneRank, ManyGathersMayBeInFlight) {
  constexpr unsigned kGathers = 200;
  std::vector<std::vector<std::byte>> sent;
  std::vector<Buffer> parts;
  std::vector<Buffer> wholes;
  for (unsigned i = 0; i < kGathers; ++i) {
    sent.push_back(pattern(1 + std::size_t{i} * 4099, i));
    parts.push_back(backend_->allocate(sent.back().size()));
    wholes.push_back(backend_->allocate(sent.back().size()));
    backend_->upload(*compute_, sent.back(), parts.back().data());
  }
  backend_->order(*gather_, *compute_);
  for (unsigned i = 0; i < kGathers; ++i) {
    nccl_.all_gather(*gather_, parts[i].data(), sent[i].size(), wholes[i].data());
  }
  for (unsigned i = 0; i < kGathers; ++i) {
    EXPECT_TRUE(download(wholes[i], *gather_) == sent[i]) << "gather " << i;
  }
}

TEST_F(NcclOfOneRank, LeavesTheHostToItsGroup) {
  const std::vector<std::byte> sent = pattern(100, 3);
  std::vector<std::byte> whole(sent.size());
  nccl_.all_gather_host(sent.data(), sent.size(), whole.data());
  EXPECT_TRUE(whole == sent);
  EXPECT_TRUE(nccl_.any(true));
  EXPECT_FALSE(nccl_.any(false));
  EXPECT_EQ(nccl_.size(), 1);
  EXPECT_EQ(nccl_.rank(), 0);
}

}  // namespace
}  // namespace gridmill::cuda
