#pragma once

#include <cstddef>
#include <string>

#include "gridmill/base/device.hpp"

struct ncclComm;

namespace gridmill::cuda {

/// Whether this build has NCCL.
[[nodiscard]] bool has_collectives();
/// Version of NCCL, e.g. "2.27.7"; empty without.
[[nodiscard]] std::string collectives_version();

/// Copies between devices by NCCL, in stream order: all-gathers only, no sum ever runs there. What
/// is on the host goes the way of `group`. Every rank of the group needs a device of its own.
class NcclExchange final : public Exchange {
 public:
  /// Collective over `group`, which must outlive this object. @throws SystemError
  explicit NcclExchange(Exchange& group);
  NcclExchange(const NcclExchange&) = delete;
  NcclExchange& operator=(const NcclExchange&) = delete;
  ~NcclExchange() override;

  [[nodiscard]] int size() const override { return group_.size(); }
  [[nodiscard]] int rank() const override { return group_.rank(); }
  void all_gather(Stream& stream, const std::byte* part, std::size_t part_bytes,
                  std::byte* whole) override;
  void all_gather_host(const void* part, std::size_t part_bytes, void* whole) override {
    group_.all_gather_host(part, part_bytes, whole);
  }
  [[nodiscard]] bool any(bool value) override { return group_.any(value); }

 private:
  Exchange& group_;
  ncclComm* comm_ = nullptr;
};

}  // namespace gridmill::cuda
