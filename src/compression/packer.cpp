#include "gridmill/compression/packer.hpp"

#include <utility>
#include <vector>

#include "codec.hpp"

namespace gridmill {

using compression_detail::Step;

struct Packer::State {
  Sink sink;
  std::unique_ptr<compression_detail::Encoder> encoder;
  std::vector<std::byte> buffer = std::vector<std::byte>(std::size_t{128} << 10);

  void pack(std::span<const std::byte> in, bool last) {
    for (bool more = true; more;) {
      const Step step = encoder->step(in, buffer, last);
      in = in.subspan(step.taken);
      if (step.made > 0) sink(std::span(buffer).first(step.made));
      more = last ? !step.ended : !in.empty();
    }
  }
};

Packer::Packer(Compression kind, Sink sink) : state_(std::make_unique<State>()) {
  state_->sink = std::move(sink);
  state_->encoder = kind == Compression::gzip ? compression_detail::gzip_encoder()
                                              : compression_detail::zstd_encoder();
}

Packer::~Packer() = default;
Packer::Packer(Packer&&) noexcept = default;
Packer& Packer::operator=(Packer&&) noexcept = default;

void Packer::write(std::string_view text) { state_->pack(std::as_bytes(std::span(text)), false); }
void Packer::finish() { state_->pack({}, true); }

}  // namespace gridmill
