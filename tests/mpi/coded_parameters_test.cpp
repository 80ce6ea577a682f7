// Weights in codes from a file through every way to hold them: the logits of a model.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/format.hpp"
#include "gridmill/checkpoint/checkpoint_writer.hpp"
#include "gridmill/checkpoint/parameter_store.hpp"
#include "gridmill/grid/grid.hpp"
#include "gridmill/grid/mpi_exchange.hpp"
#include "gridmill/params/quantize.hpp"
#include "support/memory_parameters.hpp"
#include "support/model_run.hpp"
#include "support/temporary_folder.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

constexpr std::int64_t kTokens = 9;

struct Coded {
  test::Tensors values;  ///< code * scale in place of the matrices that became codes
  int matrices = 0;
};

/// Writes `config` with random parameters, its layers' matrices in codes.
Coded write_coded(const std::string& path, const Json& config, const WeightFormat& format) {
  const auto model = make_model(config);
  Coded coded{.values = test::random_tensors(*model, 1)};
  const auto blocks = codable_parameters(model->parameters(1, 0));
  CheckpointDescription description{
      .model = config, .parameters = {}, .files = {}, .tokenizer_kind = {}, .tokenizer = {}};
  for (const ParameterSpec& spec : model->parameters(1, 0).stored) {
    const auto block = blocks.find(spec.name);
    description.parameters.push_back({.spec = spec,
                                      .dtype = DType::fp32,
                                      .format = block == blocks.end() ? WeightFormat{} : format,
                                      .block = block == blocks.end() ? 0 : block->second});
  }
  CheckpointWriter writer(path, description);
  for (const CheckpointDescription::Parameter& parameter : description.parameters) {
    const std::string& name = parameter.spec.name;
    const std::span<float> values = coded.values.at(name);
    if (!parameter.format.coded()) {
      writer.append(name, std::as_bytes(values));
      continue;
    }
    ++coded.matrices;
    const auto inputs = static_cast<std::size_t>(parameter.spec.shape[1]);
    std::vector<std::byte> codes(inputs);
    std::vector<std::byte> stored(
        static_cast<std::size_t>(code_bytes(format.codes, static_cast<std::int64_t>(inputs))));
    std::vector<std::uint16_t> scales(static_cast<std::size_t>(
        groups_in(static_cast<std::int64_t>(inputs), parameter.block, format.group)));
    for (std::size_t at = 0; at < values.size(); at += inputs) {
      const std::span<float> row = values.subspan(at, inputs);
      quantize_row(row, format, parameter.block, codes, scales);
      dequantize_row(codes, scales, format, parameter.block, row);
      if (format.codes == WeightCodes::int4) {
        pack_int4_row(codes, stored);
      } else {
        stored = codes;
      }
      writer.append(name, stored);
      writer.append_scales(name, std::as_bytes(std::span(scales)));
    }
  }
  writer.finish();
  return coded;
}

BackendOptions options_of(DType dtype, bool int8_products) {
  BackendOptions options;
  options.compute_dtype = dtype;
  options.int8_products = int8_products;
  return options;
}

/// Logits of a row, from a checkpoint on a grid of every rank.
std::vector<float> logits_on(const GridShape& shape, const std::string& path, const Json& config,
                             Backend& backend, ParameterDType cast, bool once) {
  Grid grid = Grid::create(MPI_COMM_WORLD, shape);
  const auto model = make_model(config);
  const auto stream = backend.make_stream();
  MpiExchange exchange(grid.tp(), {});
  ExecutionContext context{backend, *stream, exchange};
  const CheckpointFile file = CheckpointFile::open(path);
  ParameterOptions options;
  options.gather_once = once;
  options.fsdp_min_weight_size = 0;
  options.dtype = cast;
  const auto parameters = make_parameter_source(file, model->parameters(shape.tp, grid.coord().tp),
                                                grid, backend, *stream, options);
  const auto state = model->make_state(context, 1, 64);
  const std::vector<TokenId> tokens = test::walk(kTokens, model->info().vocab_size, 3);
  const RowSpan span{.slot = 0, .position = 0, .tokens = tokens, .want = LogitsWanted::all};
  Tensor<float, 2> logits;
  model->forward(context, {&span, 1}, *state, *parameters, {.logits = &logits});
  return logits.flat();
}

class CodedParameters : public testing::TestWithParam<WeightCodes> {
 protected:
  void SetUp() override {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks_);
    // One file a rank: they are equal.
    path_ = folder_.file(fmt::format("model{}.h5", rank));
  }
  test::TemporaryFolder folder_;
  std::string path_;
  int ranks_ = 1;
};

TEST_P(CodedParameters, EveryGridAndBackendHasTheSameLogits) {
  for (const Json& config : {test::llama_config(), test::xlstm_config()}) {
    const Coded coded = write_coded(path_, config, {GetParam(), 32});
    EXPECT_GT(coded.matrices, 5);
    const auto reference = make_backend("reference", options_of(DType::bf16, true));
    const auto cpu = make_backend("auto", options_of(DType::bf16, true));
    const std::vector<float> expected =
        logits_on({.dp = ranks_}, path_, config, *reference, ParameterDType::checkpoint, true);
    for (const GridShape& shape : {GridShape{.dp = ranks_}, GridShape{.dp = 1, .fsdp = ranks_},
                                   GridShape{.dp = 1, .fsdp = 1, .tp = ranks_}}) {
      for (const bool once : {false, true}) {
        EXPECT_EQ(logits_on(shape, path_, config, *cpu, ParameterDType::checkpoint, once), expected)
            << shape.dp << " " << shape.fsdp << " " << shape.tp << " " << once;
      }
    }
  }
}

TEST_P(CodedParameters, ValuesHaveTheBitsOfTheDequantizedModel) {
  for (const Json& config : {test::llama_config(), test::xlstm_config()}) {
    const Coded coded = write_coded(path_, config, {GetParam(), 64});
    for (const DType dtype : {DType::fp32, DType::bf16}) {
      const auto backend = make_backend("auto", options_of(dtype, false));
      test::ModelRun run(config, *backend, coded.values, 1, 64);
      const std::vector<float> expected =
          run.feed(0, test::walk(kTokens, run.model->info().vocab_size, 3)).flat();
      EXPECT_EQ(logits_on({.dp = 1, .fsdp = 1, .tp = ranks_}, path_, config, *backend,
                          ParameterDType::checkpoint, false),
                expected)
          << name_of(dtype);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Codes, CodedParameters,
                         testing::Values(WeightCodes::int8, WeightCodes::int4),
                         [](const auto& codes) { return std::string(name_of(codes.param)); });

}  // namespace
}  // namespace gridmill
