#include <zstd.h>
#include <zstd_errors.h>

#include <new>

#include "codec.hpp"
#include "gridmill/base/error.hpp"

namespace gridmill::compression_detail {

namespace {

class ZstdDecoder final : public Decoder {
 public:
  ZstdDecoder() : context_(ZSTD_createDCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
    constexpr int kWindowBits = 27;  // 128 MiB: what zstd takes without --long=31, too
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kWindowBits);
  }
  ~ZstdDecoder() override { ZSTD_freeDCtx(context_); }
  Step step(std::span<const std::byte> in, std::span<std::byte> out) override {
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    const std::size_t left = ZSTD_decompressStream(context_, &output, &input);
    if (ZSTD_isError(left) != 0) {
      const ZSTD_ErrorCode code = ZSTD_getErrorCode(left);
      if (code == ZSTD_error_memory_allocation) throw std::bad_alloc();
      if (code == ZSTD_error_frameParameter_windowTooLarge) {
        throw Damage{"it needs a window of more than 128 MiB; pack it without --long or --ultra"};
      }
      throw Damage{ZSTD_getErrorName(left)};
    }
    return {.taken = input.pos, .made = output.pos, .ended = left == 0};
  }

 private:
  ZSTD_DCtx* context_;
};

class ZstdEncoder final : public Encoder {
 public:
  ZstdEncoder() : context_(ZSTD_createCCtx()) {
    if (context_ == nullptr) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
  }
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }
  Step step(std::span<const std::byte> in, std::span<std::byte> out, bool last) override {
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    const std::size_t left =
        ZSTD_compressStream2(context_, &output, &input, last ? ZSTD_e_end : ZSTD_e_continue);
    if (ZSTD_isError(left) != 0) {
      if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation) throw std::bad_alloc();
      throw InternalError(std::string("zstd cannot go on: ") + ZSTD_getErrorName(left));
    }
    return {.taken = input.pos, .made = output.pos, .ended = last && left == 0};
  }

 private:
  ZSTD_CCtx* context_;
};

}  // namespace

std::unique_ptr<Decoder> zstd_decoder() { return std::make_unique<ZstdDecoder>(); }
std::unique_ptr<Encoder> zstd_encoder() { return std::make_unique<ZstdEncoder>(); }

}  // namespace gridmill::compression_detail
