#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/model/model.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

/// How often each element of each stored parameter is held by one of `tp_size` ranks.
std::map<std::string, std::vector<int>> holders(const Model& model, int tp_size) {
  std::map<std::string, std::vector<int>> held;
  std::map<std::string, std::int64_t> columns;
  for (const ParameterSpec& spec : model.parameters(1, 0).stored) {
    std::int64_t count = 1;
    for (const std::int64_t extent : spec.shape) count *= extent;
    held[spec.name].resize(static_cast<std::size_t>(count));
    columns[spec.name] = spec.shape.back();
  }
  for (int rank = 0; rank < tp_size; ++rank) {
    for (const UnitSpec& unit : model.parameters(tp_size, rank).units) {
      for (const MatrixSpec& matrix : unit.matrices) {
        for (const MatrixPart& part : matrix.parts) {
          for (std::int64_t row = part.rows.first; row < part.rows.end(); ++row) {
            for (std::int64_t k = part.columns.first; k < part.columns.end(); ++k) {
              const std::int64_t element = row * columns.at(part.parameter) + k;
              ++held.at(part.parameter).at(static_cast<std::size_t>(element));
            }
          }
        }
      }
      for (const VectorSpec& vector : unit.vectors) {
        for (const VectorPart& part : vector.parts) {
          if (part.parameter.empty()) continue;
          for (std::int64_t i = part.elements.first; i < part.elements.end(); ++i) {
            ++held.at(part.parameter).at(static_cast<std::size_t>(i));
          }
        }
      }
    }
  }
  return held;
}

const MatrixSpec& find_matrix(const ModelParameters& parameters, const std::string& name) {
  for (const UnitSpec& unit : parameters.units) {
    for (const MatrixSpec& matrix : unit.matrices) {
      if (matrix.name == name) return matrix;
    }
  }
  throw std::runtime_error("no matrix " + name);
}

const VectorSpec& find_vector(const ModelParameters& parameters, const std::string& name) {
  for (const UnitSpec& unit : parameters.units) {
    for (const VectorSpec& vector : unit.vectors) {
      if (vector.name == name) return vector;
    }
  }
  throw std::runtime_error("no vector " + name);
}

TEST(ModelParameters, OneRankHoldsEveryStoredElementOnce) {
  for (const test::TinyModel& tiny : test::tiny_models()) {
    for (const auto& [name, counts] : holders(*make_model(tiny.config), 1)) {
      for (const int count : counts) ASSERT_EQ(count, 1) << tiny.name << " " << name;
    }
  }
}

TEST(ModelParameters, ATpGroupSplitsMatricesWithoutGapsOrOverlaps) {
  for (const test::TinyModel& tiny : test::splittable_models()) {
    const auto model = make_model(tiny.config);
    for (const int tp : {2, 4, 8}) {
      const std::int64_t kv_heads = tiny.config.value("kv_heads", 8);
      const auto held = holders(*model, tp);
      for (const ParameterSpec& spec : model->parameters(1, 0).stored) {
        if (spec.shape.size() != 2) continue;
        const bool key_value = tiny.config["family"] == "llama" &&
                               (spec.name.ends_with(".k") || spec.name.ends_with(".v"));
        int expected = key_value && kv_heads < tp ? tp / static_cast<int>(kv_heads) : 1;
        if (spec.name == "positions") expected = tp;
        const bool recurrent_key =
            spec.name.ends_with("recurrence.q") || spec.name.ends_with("recurrence.k");
        if (recurrent_key && tp > 2) expected = tp / 2;  // of two key heads
        for (const int count : held.at(spec.name)) {
          ASSERT_EQ(count, expected) << tiny.name << " tp " << tp << " " << spec.name;
        }
      }
    }
  }
}

TEST(ModelParameters, ShapesAgreeWithTheirParts) {
  for (const test::TinyModel& tiny : test::splittable_models()) {
    for (const int tp : {1, 2, 4, 8}) {
      for (int rank = 0; rank < tp; ++rank) {
        for (const UnitSpec& unit : make_model(tiny.config)->parameters(tp, rank).units) {
          for (const MatrixSpec& matrix : unit.matrices) {
            std::int64_t outputs = 0;
            for (const MatrixPart& part : matrix.parts) {
              outputs += part.rows.count;
              EXPECT_EQ(part.columns.count, matrix.shape.inputs) << matrix.name;
            }
            EXPECT_EQ(outputs, matrix.shape.outputs) << matrix.name;
          }
        }
      }
    }
  }
}

TEST(ModelParameters, RowParallelSlicesFollowTheMatrixBeforeThem) {
  const auto model = make_model(test::llama_config());
  for (const int tp : {2, 4, 8}) {
    for (int rank = 0; rank < tp; ++rank) {
      const ModelParameters parameters = model->parameters(tp, rank);
      const MatrixSpec& o = find_matrix(parameters, "layers.1.o");
      EXPECT_TRUE(o.shape.row_parallel);
      EXPECT_EQ(o.parts[0].columns, find_matrix(parameters, "layers.1.qkv").parts[0].rows);
      EXPECT_EQ(o.shape.first_input, o.parts[0].columns.first);
      EXPECT_EQ(o.shape.whole_inputs, 32);
      const MatrixSpec& gate_up = find_matrix(parameters, "layers.1.gate_up");
      EXPECT_EQ(gate_up.fuse, Fuse::interleave);
      EXPECT_EQ(find_matrix(parameters, "layers.1.down").parts[0].columns, gate_up.parts[1].rows);
    }
  }
}

TEST(ModelParameters, QueriesAndTheirKeyValueHeadsStayTogether) {
  const auto split = make_model(test::llama_config())->parameters(4, 3);
  EXPECT_EQ(find_matrix(split, "layers.0.qkv").parts[0].rows, (IndexRange{24, 8}));
  EXPECT_EQ(find_matrix(split, "layers.0.qkv").parts[1].rows, (IndexRange{12, 4}));
  const auto replicated = make_model(test::llama_full_config())->parameters(8, 5);
  EXPECT_EQ(find_matrix(replicated, "layers.0.qkv").parts[0].rows, (IndexRange{20, 4}));
  EXPECT_EQ(find_matrix(replicated, "layers.0.qkv").parts[2].rows, (IndexRange{4, 4}));
}

TEST(ModelParameters, GatesAlwaysHaveBiasesAndZerosStandForTheOthers) {
  const auto parameters = make_model(test::xlstm_config())->parameters(2, 1);
  const VectorSpec& zeros = find_vector(parameters, "layers.0.mlstm_inputs_bias");
  ASSERT_EQ(zeros.parts.size(), 4U);
  EXPECT_EQ(zeros.parts[0].parameter, "");
  EXPECT_EQ(zeros.parts[0].elements.count, 12);
  const VectorSpec& bias = find_vector(parameters, "layers.0.mlstm_gates_bias");
  ASSERT_EQ(bias.parts.size(), 2U);
  EXPECT_EQ(bias.parts[0].parameter, "layers.0.i_gate_bias");
  EXPECT_EQ(bias.parts[0].elements, (IndexRange{4, 4}));
  const auto full = make_model(test::xlstm_full_config())->parameters(2, 1);
  EXPECT_EQ(find_vector(full, "layers.0.mlstm_inputs_bias").parts[0].parameter, "layers.0.q_bias");
}

TEST(ModelParameters, TiedModelsLookTokensUpInTheHead) {
  const auto tied = make_model(test::llama_full_config())->parameters(1, 0);
  const UnitSpec& head = tied.units[static_cast<std::size_t>(tied.embedding_unit)];
  EXPECT_EQ(head.name, "head");
  EXPECT_EQ(head.matrices[0].parts[0].parameter, "embedding");
  EXPECT_EQ(head.matrices[0].layout, MatrixLayout::panels);
  const auto untied = make_model(test::llama_config())->parameters(1, 0);
  const UnitSpec& table = untied.units[static_cast<std::size_t>(untied.embedding_unit)];
  EXPECT_EQ(table.matrices[0].layout, MatrixLayout::rows);
}

TEST(ModelParameters, VocabularySlicesAreWholeGroups) {
  const auto model = make_model(test::xlstm_config());
  for (int rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(model->parameters(8, rank).embedding_ids, vocabulary_slice(300, 8, rank));
  }
}

TEST(ModelParameters, SplitsThatTheNumericsDoNotAllowAreUsageErrors) {
  const auto llama = make_model(test::llama_config());
  EXPECT_THROW(static_cast<void>(llama->parameters(3, 0)), UsageError);
  EXPECT_THROW(static_cast<void>(llama->parameters(2, 2)), UsageError);
  Json six_heads = test::llama_config();
  six_heads["heads"] = 6;
  six_heads["kv_heads"] = 3;
  six_heads["head_dim"] = 8;
  const auto six = make_model(six_heads);
  EXPECT_THROW(static_cast<void>(six->parameters(4, 0)), UsageError);  // 4 does not divide 6
  EXPECT_THROW(static_cast<void>(six->parameters(2, 0)), UsageError);  // 3 kv heads on 2 ranks
  Json narrow = test::llama_config();
  narrow["heads"] = 4;
  narrow["head_dim"] = 2;
  EXPECT_THROW(static_cast<void>(make_model(narrow)->parameters(2, 0)), UsageError);  // 8 / 8 odd
  EXPECT_NO_THROW(static_cast<void>(make_model(narrow)->parameters(1, 0)));
  EXPECT_THROW(static_cast<void>(make_model(test::xlstm_older_config())->parameters(2, 0)),
               UsageError);
}

TEST(ModelParameters, StateBytesAreThoseOfTheDocumentedState) {
  // 2 layers, 128 tokens, keys and values of 2 of 4 heads of 4 elements.
  EXPECT_EQ(make_model(test::llama_config())->state_bytes_per_slot(2, 128, DType::bf16),
            2U * 128U * 2U * 2U * 4U * 2U);
  // 2 layers, 8 heads of 3 x 4 + 3 + 1 numbers.
  EXPECT_EQ(make_model(test::xlstm_config())->state_bytes_per_slot(1, 128, DType::bf16),
            2U * 8U * 16U * 4U);
}

TEST(ModelState, LayersWithAWindowDoNotGrow) {
  // One of three layers sees everything; 8 kv heads of 4.
  const auto model = make_model(test::sandwich_config());
  const auto bytes = [&](std::int64_t length, KvExtent extent) {
    return model->state_bytes_per_slot(1, length, DType::fp32, extent);
  };
  const std::size_t position = 2 * 8 * 4 * sizeof(float);
  EXPECT_EQ(bytes(100'000, KvExtent::row), 3 * 100'000 * position);
  EXPECT_EQ(bytes(100'000, KvExtent::window) - bytes(50'000, KvExtent::window), 50'000 * position);
}

}  // namespace
}  // namespace gridmill
