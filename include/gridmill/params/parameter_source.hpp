#pragma once

#include <functional>
#include <span>
#include <utility>

#include "gridmill/base/device.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/params/weight.hpp"

namespace gridmill {

/// Keeps the memory of an acquired unit alive; its destructor lets the source reuse it (after the
/// stream that used it has passed).
class UnitLease {
 public:
  UnitLease(const UnitWeights& weights, std::function<void()> release)
      : weights_(&weights), release_(std::move(release)) {}
  UnitLease(UnitLease&& other) noexcept
      : weights_(std::exchange(other.weights_, nullptr)),
        release_(std::exchange(other.release_, nullptr)) {}
  UnitLease& operator=(UnitLease&& other) noexcept {
    std::swap(weights_, other.weights_);
    std::swap(release_, other.release_);
    return *this;
  }
  ~UnitLease() {
    if (release_) release_();
  }
  const UnitWeights& operator*() const { return *weights_; }
  const UnitWeights* operator->() const { return weights_; }

 private:
  const UnitWeights* weights_;
  std::function<void()> release_;
};

/// Where a model gets its weights from: all of them resident (gathered once), or each unit gathered
/// when it is used.
class ParameterSource {
 public:
  ParameterSource() = default;
  ParameterSource(const ParameterSource&) = delete;
  ParameterSource& operator=(const ParameterSource&) = delete;
  virtual ~ParameterSource() = default;

  /// Starts to bring `unit` near. Collective over the fsdp group when units are gathered.
  virtual void prefetch(UnitId unit) = 0;
  /// Waits for `unit`. At most two units may be held at a time. Collective as prefetch.
  [[nodiscard]] virtual UnitLease acquire(UnitId unit) = 0;
  /// Embedding rows of `ids` into `out` [ids, D], in fp32. Every id must be inside the vocabulary.
  /// Collective over the tp group, and over the fsdp group when units are gathered: rows are
  /// exchanged, the table is not gathered.
  virtual void embed(Stream& stream, std::span<const TokenId> ids, DeviceMatrix out) = 0;
};

}  // namespace gridmill
