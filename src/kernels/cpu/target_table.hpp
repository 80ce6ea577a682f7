// The tables of one target: last include of a target file.
#pragma once

#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/experts.hpp"
#include "kernels/cpu/limits.hpp"
#include "kernels/cpu/mlstm.hpp"
#include "kernels/cpu/products.hpp"
#include "kernels/cpu/recurrence.hpp"
#include "kernels/cpu/rows.hpp"
#include "kernels/cpu/select.hpp"
#include "kernels/cpu/select_filter.hpp"
#include "kernels/cpu/select_join.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

#define GRIDMILL_STRING_OF(x) #x
#define GRIDMILL_NAME_OF(x) GRIDMILL_STRING_OF(x)

template <class Steps>
constexpr KernelTable make_table() {
  KernelTable table{};
  table.target = GRIDMILL_NAME_OF(GRIDMILL_CPU_TARGET);
  table.product = product<Steps>;
  table.pack_rows = pack_rows<Steps>;
  table.norm_pack = norm_pack<Steps>;
  table.norm_add = norm_add;
  table.norm_rows = norm_rows;
  table.scale_add = scale_add;
  table.join_partials = join_partials;
  table.embed = embed<Steps>;
  table.attend = attend<Steps>;
  table.mlstm = mlstm<Steps>;
  table.short_convolution = short_convolution;
  table.decay_gates = decay_gates;
  table.norm_groups = norm_groups;
  table.linear_recurrence = linear_recurrence;
  table.gated_norm_pack = gated_norm_pack<Steps>;
  table.slstm = slstm;
  table.channel_affine = channel_affine;
  table.block_diagonal = block_diagonal;
  table.skip_gate_pack = skip_gate_pack<Steps>;
  table.row_dots = row_dots;
  table.gather_pack = gather_pack<Steps>;
  table.experts_gated = experts_gated<Steps>;
  table.experts_down = experts_down<Steps>;
  table.select_blocks = select_blocks<Steps>;
  table.join_blocks = join_blocks;
  table.peak_row = peak_row;
  table.count_row = count_row;
  table.draw_row = draw_row;
  table.elementary = elementary;
  table.pair_product = pair_product;
  table.limit_read = limit_read;
  table.limit_update = limit_update;
  table.limit_product = limit_product<Steps>;
  return table;
}

constinit const KernelTable kFp32Kernels = make_table<Fp32Steps>();
constinit const KernelTable kBf16Kernels = make_table<Bf16Steps>();

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
