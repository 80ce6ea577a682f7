#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

#include "codec.hpp"
#include "gridmill/base/error.hpp"

namespace gridmill::compression_detail {

namespace {

constexpr int kGzip = 15 + 16;  // the largest window, and the header and trailer of gzip

void check(int result) {
  if (result == Z_MEM_ERROR) throw std::bad_alloc();
  if (result != Z_OK) throw InternalError("zlib cannot be set up");
}

/// zlib's fields for one call. It does not write to its input, but takes a pointer that could.
void point_at(z_stream& stream, std::span<const std::byte> in, std::span<std::byte> out) {
  const auto clipped = [](std::size_t size) {
    return static_cast<uInt>(std::min<std::size_t>(size, std::numeric_limits<uInt>::max()));
  };
  stream.next_in =
      const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));  // NOLINT: see above
  stream.avail_in = clipped(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = clipped(out.size());
}

Step step_of(const z_stream& stream, std::span<const std::byte> in, std::span<std::byte> out,
             bool ended) {
  return {
      .taken =
          static_cast<std::size_t>(reinterpret_cast<const std::byte*>(stream.next_in) - in.data()),
      .made = static_cast<std::size_t>(reinterpret_cast<std::byte*>(stream.next_out) - out.data()),
      .ended = ended};
}

class GzipDecoder final : public Decoder {
 public:
  GzipDecoder() { check(inflateInit2(&stream_, kGzip)); }
  ~GzipDecoder() override { inflateEnd(&stream_); }
  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    point_at(stream_, in, out);
    const int result = inflate(&stream_, Z_NO_FLUSH);
    if (result == Z_MEM_ERROR) throw std::bad_alloc();
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      throw Damage{stream_.msg != nullptr ? stream_.msg : "no gzip data"};
    }
    const Step step = step_of(stream_, in, out, result == Z_STREAM_END);
    if (step.ended) check(inflateReset(&stream_));
    return step;
  }

 private:
  z_stream stream_{};
};

class GzipEncoder final : public Encoder {
 public:
  GzipEncoder() {
    constexpr int kLevel = 6;
    constexpr int kMemoryLevel = 8;
    check(deflateInit2(&stream_, kLevel, Z_DEFLATED, kGzip, kMemoryLevel, Z_DEFAULT_STRATEGY));
  }
  ~GzipEncoder() override { deflateEnd(&stream_); }
  Step step(std::span<const std::byte> in, std::span<std::byte> out, bool last) override {
    point_at(stream_, in, out);
    const int result = deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
    if (result == Z_STREAM_ERROR) throw InternalError("zlib cannot go on");
    return step_of(stream_, in, out, result == Z_STREAM_END);
  }

 private:
  z_stream stream_{};
};

}  // namespace

std::unique_ptr<Decoder> gzip_decoder() { return std::make_unique<GzipDecoder>(); }
std::unique_ptr<Encoder> gzip_encoder() { return std::make_unique<GzipEncoder>(); }

}  // namespace gridmill::compression_detail
