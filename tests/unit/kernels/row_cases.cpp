#include "unit/kernels/row_cases.hpp"

#include "gridmill/base/format.hpp"

namespace gridmill::testing {

std::string text(const NormCase& norm) {
  return fmt::format("rows {} columns {} kind {} weight {} bias {} picked {}", norm.rows,
                     norm.columns, static_cast<int>(norm.kind), norm.weight, norm.bias,
                     norm.picked.size());
}

float norm_factor(const NormCase& norm) { return norm.columns % 2 == 0 ? 1.0F : 0.3F; }

std::vector<NormCase> norm_cases() {
  std::vector<NormCase> cases;
  for (const std::int64_t columns : {1, 2, 7, 15, 16, 17, 31, 33, 64, 100, 257}) {
    for (const NormKind kind : {NormKind::rms, NormKind::layer}) {
      cases.push_back({.rows = 3, .columns = columns, .kind = kind});
      cases.push_back({.rows = 2, .columns = columns, .kind = kind, .bias = true});
      cases.push_back({.rows = 1, .columns = columns, .kind = kind, .weight = false});
      cases.push_back({.rows = 5, .columns = columns, .kind = kind, .picked = {4, 0, 4}});
    }
  }
  for (const std::int64_t columns : {4096, 4097}) {  // a device keeps rows that are no wider
    cases.push_back({.rows = 2, .columns = columns, .kind = NormKind::rms});
    cases.push_back({.rows = 1, .columns = columns, .kind = NormKind::layer, .bias = true});
  }
  cases.push_back({.rows = 0, .columns = 9});
  return cases;
}

NormData norm_data(const NormCase& norm) {
  Numbers numbers(static_cast<std::uint32_t>(norm.rows * 17 + norm.columns));
  NormData data{
      numbers.matrix(norm.rows, norm.columns), numbers.matrix(norm.rows, norm.columns), {}, {}};
  if (norm.weight) data.weight = numbers.vector(norm.columns);
  if (norm.bias) data.bias = numbers.vector(norm.columns);
  return data;
}

namespace {

Norm norm_on(TestDevice& device, const NormCase& norm, const NormData& data) {
  return {.kind = norm.kind,
          .eps = 1e-5F,
          .weight = device.vector(data.weight),
          .bias = device.vector(data.bias),
          .scale = norm_factor(norm)};
}

}  // namespace

Matrix run_norm_pack(TestDevice& device, const NormCase& norm) {
  const NormData data = norm_data(norm);
  const auto rows = norm.picked.empty() ? norm.rows : static_cast<std::int64_t>(norm.picked.size());
  const PackedRows out = device.packed(rows, norm.columns);
  device.backend().norm_pack(device.stream(), device.matrix(data.x), norm_on(device, norm, data),
                             norm.picked, out);
  return device.unpack(out);
}

Matrix run_norm_add(TestDevice& device, const NormCase& norm) {
  const NormData data = norm_data(norm);
  const DeviceMatrix x = device.matrix(data.x);
  device.backend().norm_add(device.stream(), device.matrix(data.y), norm_on(device, norm, data), x);
  return device.download(x);
}

Matrix run_norm_rows(TestDevice& device, const NormCase& norm) {
  const NormData data = norm_data(norm);
  const DeviceMatrix x = device.matrix(data.x);
  device.backend().norm_rows(device.stream(), x, norm_on(device, norm, data), x);
  return device.download(x);
}

Matrix run_scale_add(TestDevice& device, const NormCase& norm) {
  const NormData data = norm_data(norm);
  const DeviceMatrix x = device.matrix(data.x);
  const ConstDeviceMatrix y =
      norm.bias ? ConstDeviceMatrix{} : ConstDeviceMatrix(device.matrix(data.y));
  device.backend().scale_add(device.stream(), 1.7F, y, 0.22F, x);
  return device.download(x);
}

std::string text(const EmbedCase& embed) {
  return fmt::format("vocabulary {} width {} layout {} stored {} first {} shard {} of {}",
                     embed.vocab_size, embed.width, static_cast<int>(embed.layout),
                     name_of(embed.stored), embed.first_id, embed.only_shard, embed.shards);
}

std::vector<EmbedCase> embed_cases() {
  std::vector<EmbedCase> cases;
  for (const MatrixLayout layout : {MatrixLayout::rows, MatrixLayout::panels}) {
    for (const std::int64_t width : {1, 5, 16, 33}) {
      for (const DType stored : {DType::fp32, DType::bf16, DType::fp16}) {
        cases.push_back({.vocab_size = 37, .width = width, .layout = layout, .stored = stored});
      }
      cases.push_back({.vocab_size = 50, .width = width, .layout = layout, .first_id = 64});
      cases.push_back({.vocab_size = 50, .width = width, .layout = layout, .shards = 3});
      // Which ids a shard of panels holds depends on the width of a backend's panels.
      if (layout == MatrixLayout::rows) {
        cases.push_back(
            {.vocab_size = 50, .width = width, .layout = layout, .shards = 3, .only_shard = 1});
      }
      cases.push_back({.vocab_size = 0, .width = width, .layout = layout, .first_id = 64});
    }
  }
  return cases;
}

Matrix embed_table(const EmbedCase& embed) {
  return Numbers(static_cast<std::uint32_t>(embed.width)).matrix(embed.vocab_size, embed.width);
}

Matrix run_embed(TestDevice& device, const EmbedCase& embed) {
  const Weight table = device.weight(embed_table(embed),
                                     {.shape = {.outputs = embed.vocab_size, .inputs = embed.width},
                                      .layout = embed.layout,
                                      .stored = embed.stored,
                                      .shards = embed.shards,
                                      .only_shard = embed.only_shard});
  std::vector<TokenId> ids;
  for (std::int64_t id = embed.vocab_size + 2; id >= -2; --id) {
    ids.push_back(static_cast<TokenId>(embed.first_id + id));
  }
  const DeviceMatrix out = device.matrix(static_cast<std::int64_t>(ids.size()), embed.width);
  device.backend().embed(device.stream(), table, embed.first_id, ids, out);
  return device.download(out);
}

std::string text(const OlderCase& older) {
  return fmt::format("rows {} groups {} of {} x {} bias {} activation {}", older.rows, older.groups,
                     older.group_outputs, older.group_inputs, older.bias,
                     static_cast<int>(older.activation));
}

std::vector<OlderCase> older_cases() {
  std::vector<OlderCase> cases;
  for (int i = 0; i < 7; ++i) {
    cases.push_back({.rows = 1 + i % 3,
                     .groups = 1 + 3 * i,
                     .group_inputs = 1 + i,
                     .group_outputs = 1 + i,
                     .bias = i % 2 == 0,
                     .activation = static_cast<Activation>(i)});
  }
  cases.push_back({.rows = 0, .groups = 4, .group_inputs = 4, .group_outputs = 4});
  cases.push_back({.rows = 3, .groups = 2, .group_inputs = 24, .group_outputs = 1});
  cases.push_back({.rows = 2, .groups = 5, .group_inputs = 3, .group_outputs = 7});
  return cases;
}

Matrix run_channel_affine(TestDevice& device, const OlderCase& older) {
  Numbers numbers(3);
  const std::int64_t width = older.groups * older.group_outputs;
  const DeviceMatrix x = device.matrix(numbers.matrix(older.rows, width));
  const ConstDeviceVector weight = device.vector(numbers.vector(width));
  const ConstDeviceVector bias =
      older.bias ? device.vector(numbers.vector(width)) : ConstDeviceVector{};
  const DeviceMatrix out = device.matrix(older.rows, width);
  device.backend().channel_affine(device.stream(), x, weight, bias, older.activation, out);
  return device.download(out);
}

Matrix run_block_diagonal(TestDevice& device, const OlderCase& older) {
  Numbers numbers(4);
  const DeviceMatrix x =
      device.matrix(numbers.matrix(older.rows, older.groups * older.group_inputs));
  const ConstDeviceVector blocks =
      device.vector(numbers.vector(older.groups * older.group_outputs * older.group_inputs));
  const DeviceMatrix out = device.matrix(older.rows, older.groups * older.group_outputs);
  device.backend().block_diagonal(device.stream(), x, blocks, older.groups, out);
  return device.download(out);
}

Matrix run_skip_gate(TestDevice& device, const OlderCase& older) {
  Numbers numbers(5);
  const std::int64_t width = older.groups * older.group_outputs;
  const DeviceMatrix h = device.matrix(numbers.matrix(older.rows, width));
  const DeviceMatrix a = device.matrix(numbers.matrix(older.rows, width));
  const DeviceMatrix z = device.matrix(numbers.matrix(older.rows, width));
  const ConstDeviceVector skip = device.vector(numbers.vector(width));
  const PackedRows out = device.packed(older.rows, width);
  device.backend().skip_gate_pack(device.stream(), h, skip, a, z, older.activation, out);
  return device.unpack(out);
}

Matrix run_pack_rows(TestDevice& device, std::int64_t rows) {
  Numbers numbers(6);
  const std::vector<ConstDeviceMatrix> sources = {device.matrix(numbers.matrix(rows, 1)),
                                                  device.matrix(numbers.matrix(rows, 5)),
                                                  device.matrix(numbers.matrix(rows, 18))};
  const PackedRows out = device.packed(rows, 24);
  device.backend().pack_rows(device.stream(), sources, out);
  return device.unpack(out);
}

}  // namespace gridmill::testing
