#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/kernels/state.hpp"

namespace gridmill::reference {

/// Plain array [layer][slot][key, value][position][kv head][head_dim] in the compute dtype; with a
/// window, position modulo the window.
class ReferenceKvCache final : public KvCache {
 public:
  /// Values of the whole array.
  [[nodiscard]] static std::size_t values(const KvCacheShape& shape);
  ReferenceKvCache(const KvCacheShape& shape, DType dtype, Buffer memory);

  void reset(SlotId slot) override;
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const override;
  void save(SlotId slot, std::int64_t length, std::span<float> out) override;
  void load(SlotId slot, std::int64_t length, std::span<const float> in) override;

  [[nodiscard]] const KvCacheShape& shape() const { return shape_; }

  enum class Part : std::uint8_t { key = 0, value = 1 };
  /// Rounds one position of all kv heads into the cache: [kv_heads * head_dim].
  void write(int layer, SlotId slot, Part part, std::int64_t position, const float* values);
  /// Copies one position of one kv head out: [head_dim].
  void read(int layer, SlotId slot, Part part, std::int64_t position, int kv_head,
            float* values) const;

 private:
  /// Index of the first value of a position.
  [[nodiscard]] std::size_t index(int layer, SlotId slot, Part part, std::int64_t position) const;
  [[nodiscard]] float value(std::size_t index) const;
  void set(std::size_t index, float value);

  KvCacheShape shape_;
  DType dtype_;
  Buffer memory_;
};

}  // namespace gridmill::reference
