#include "gridmill/grid/mpi_exchange.hpp"

#include "gridmill/grid/collectives.hpp"

namespace gridmill {

void MpiExchange::all_gather(Stream& stream, const std::byte* part, std::size_t part_bytes,
                             std::byte* whole) {
  if (!staging_) {
    stream.synchronize();
    all_gather_host(part, part_bytes, whole);
    return;
  }
  const std::size_t whole_bytes = part_bytes * static_cast<std::size_t>(size());
  if (host_.size() < whole_bytes) host_.resize(whole_bytes);
  const auto own =
      std::span(host_).subspan(part_bytes * static_cast<std::size_t>(rank()), part_bytes);
  staging_->download(stream, part, own);
  stream.synchronize();
  all_gather_host(own.data(), part_bytes, host_.data());
  staging_->upload(stream, std::span(host_).first(whole_bytes), whole);
}

void MpiExchange::all_gather_host(const void* part, std::size_t part_bytes, void* whole) {
  const std::size_t whole_bytes = part_bytes * static_cast<std::size_t>(size());
  all_gather_bytes(comm_, {static_cast<const std::byte*>(part), part_bytes},
                   {static_cast<std::byte*>(whole), whole_bytes});
  bytes_received_ += whole_bytes - part_bytes;
}

bool MpiExchange::any(bool value) { return any_rank(comm_, value); }

}  // namespace gridmill
