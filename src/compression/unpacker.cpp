#include "gridmill/compression/unpacker.hpp"

#include <algorithm>
#include <utility>

#include "codec.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

using compression_detail::Damage;
using compression_detail::Decoder;
using compression_detail::Step;

struct Unpacker::State {
  const FileDescriptor* file;
  std::string path;
  Compression kind;
  Observer observer;
  std::uint64_t size;                ///< of the file
  std::uint64_t next;                ///< byte of the file behind `buffer`
  std::vector<std::byte> buffer;     ///< bytes of the file
  std::span<const std::byte> input;  ///< what is left of them
  std::uint64_t position;
  UnpackStart last_start;
  bool inside = false;  ///< a member or frame
  std::unique_ptr<Decoder> decoder;

  void refill() {
    constexpr std::uint64_t kChunkBytes = std::uint64_t{1} << 20;
    buffer.resize(static_cast<std::size_t>(std::min(kChunkBytes, size - next)));
    read_exactly(*file, next, buffer, path);
    if (observer) observer(buffer);
    next += buffer.size();
    input = buffer;
  }
  [[nodiscard]] bool only_zeros_are_left() {
    for (;;) {
      if (std::any_of(input.begin(), input.end(), [](std::byte b) { return b != std::byte{0}; })) {
        return false;
      }
      if (next == size) break;
      refill();
    }
    input = {};
    return true;
  }
  [[nodiscard]] std::uint64_t place() const { return next - input.size(); }
  [[noreturn]] void cut_short() const {
    throw FormatError(
        fmt::format("{} is cut short: the archive ends after {} bytes of content", path, position));
  }
  Step step(std::span<std::byte> out) {
    try {
      return decoder->step(input, out);
    } catch (const Damage& damage) {
      throw FormatError(fmt::format("{} is damaged, or no {} archive: {} (near byte {})", path,
                                    kind == Compression::gzip ? "gzip" : "zstd", damage.what,
                                    place()));
    }
  }
};

Unpacker::Unpacker(const FileDescriptor& file, std::string path, Compression kind,
                   UnpackStart start, Observer observer)
    : state_(std::make_unique<State>()) {
  state_->file = &file;
  state_->path = std::move(path);
  state_->kind = kind;
  state_->observer = std::move(observer);
  state_->size = file_size(file, state_->path);
  state_->next = start.packed;
  state_->position = start.unpacked;
  state_->last_start = start;
  state_->decoder = kind == Compression::gzip ? compression_detail::gzip_decoder()
                                              : compression_detail::zstd_decoder();
  if (state_->size == 0) state_->cut_short();
}

Unpacker::~Unpacker() = default;
Unpacker::Unpacker(Unpacker&&) noexcept = default;
Unpacker& Unpacker::operator=(Unpacker&&) noexcept = default;

std::size_t Unpacker::read(std::span<std::byte> bytes) {
  State& state = *state_;
  std::size_t made = 0;
  while (made < bytes.size()) {
    if (state.input.empty() && state.next < state.size) state.refill();
    if (!state.inside) {
      if (state.input.empty()) break;
      // gzip takes zeros behind a member as padding (of a tape's block).
      const bool padded = state.kind == Compression::gzip && state.place() > 0 &&
                          state.input.front() == std::byte{0} && state.only_zeros_are_left();
      if (padded) break;
      state.last_start = {.packed = state.place(), .unpacked = state.position};
      state.inside = true;
    }
    const Step step = state.step(bytes.subspan(made));
    state.input = state.input.subspan(step.taken);
    state.position += step.made;
    made += step.made;
    state.inside = !step.ended;
    const bool stuck = step.taken == 0 && step.made == 0 && !step.ended;
    if (stuck && state.next == state.size) state.cut_short();
  }
  return made;
}

std::uint64_t Unpacker::position() const { return state_->position; }
UnpackStart Unpacker::last_start() const { return state_->last_start; }

}  // namespace gridmill
