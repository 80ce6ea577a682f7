#include <gtest/gtest.h>

#include "unit/kernels/candidate_test.hpp"
#include "unit/kernels/expert_cases.hpp"
#include "unit/kernels/product_cases.hpp"
#include "unit/kernels/recurrence_cases.hpp"
#include "unit/kernels/row_cases.hpp"
#include "unit/kernels/select_cases.hpp"
#include "unit/kernels/sequence_cases.hpp"

// Every backend of the CPU contract against the reference, bit for bit. That these comparisons can
// fail is shown by mutation_test.cpp.
namespace gridmill::testing {
namespace {

class Conformance : public CandidateTest {
 protected:
  /// Runs `run(device, case)` on both for every case.
  template <typename Case, typename Run>
  void expect_same(const std::vector<Case>& cases, Run run) {
    ASSERT_FALSE(cases.empty());
    for (const Case& one : cases) {
      EXPECT_TRUE(same_bits(run(device(), one), run(expected_, one))) << text(one);
      device().check_and_clear();
      expected_.check_and_clear();
      if (HasFailure()) return;
    }
  }

  TestDevice expected_{make_backend("reference", {.compute_dtype = GetParam().dtype})};
};

TEST_P(Conformance, PromisesTheNumericsOfTheReference) {
  EXPECT_EQ(device().backend().numerics_id(), expected_.backend().numerics_id());
  EXPECT_EQ(device().backend().compute_dtype(), GetParam().dtype);
}

TEST_P(Conformance, PacksRowsFromSeveralSources) {
  for (const std::int64_t rows : {0, 1, 2, 7}) {
    EXPECT_TRUE(same_bits(run_pack_rows(device(), rows), run_pack_rows(expected_, rows))) << rows;
  }
}

TEST_P(Conformance, LinearHasTheSameBits) { expect_same(product_cases(), run_linear); }

TEST_P(Conformance, LinearActivatedHasTheSameBits) { expect_same(product_cases(), run_activated); }

TEST_P(Conformance, LinearGatedHasTheSameBits) { expect_same(product_cases(), run_gated); }

TEST_P(Conformance, LinearRowParallelHasTheSameBits) {
  expect_same(product_cases(), run_row_parallel);
}

TEST_P(Conformance, LinearPartialAndJoinHaveTheSameBits) {
  for (const int tp_size : {2, 8}) {  // invariance_test.cpp runs every size
    expect_same(product_cases(), [tp_size](TestDevice& device, const ProductCase& product) {
      return run_joined(device, product, tp_size);
    });
  }
}

TEST_P(Conformance, NormPackHasTheSameBits) { expect_same(norm_cases(), run_norm_pack); }

TEST_P(Conformance, NormAddHasTheSameBits) { expect_same(norm_cases(), run_norm_add); }

TEST_P(Conformance, NormRowsHasTheSameBits) { expect_same(norm_cases(), run_norm_rows); }

TEST_P(Conformance, ScaleAddHasTheSameBits) { expect_same(norm_cases(), run_scale_add); }

TEST_P(Conformance, EmbedHasTheSameBits) { expect_same(embed_cases(), run_embed); }

TEST_P(Conformance, ChannelAffineHasTheSameBits) { expect_same(older_cases(), run_channel_affine); }

TEST_P(Conformance, BlockDiagonalHasTheSameBits) { expect_same(older_cases(), run_block_diagonal); }

TEST_P(Conformance, SkipGatePackHasTheSameBits) { expect_same(older_cases(), run_skip_gate); }

TEST_P(Conformance, RowDotsHaveTheSameBits) { expect_same(dot_cases(), run_row_dots); }

TEST_P(Conformance, ExpertsHaveTheSameBits) {
  for (const int tp_size : {1, 4}) {
    expect_same(expert_cases(), [tp_size](TestDevice& device, const ExpertCase& experts) {
      return run_experts(device, experts, tp_size);
    });
  }
}

TEST_P(Conformance, AttentionAndItsCacheHaveTheSameBits) {
  for (const int piece : {1 << 20, 7}) {
    expect_same(attention_cases(), [piece](TestDevice& device, const AttentionCase& attention) {
      return run_attention(device, attention, all_of(attention.lengths.size(), piece));
    });
  }
}

TEST_P(Conformance, AttentionWithAnOutputGateHasTheSameBits) {
  expect_same(gated_attention_cases(), [](TestDevice& device, const AttentionCase& attention) {
    return run_attention(device, attention, all_of(attention.lengths.size(), 7));
  });
}

TEST_P(Conformance, MlstmAndItsStateHaveTheSameBits) {
  for (const int piece : {1 << 20, 5}) {
    expect_same(mlstm_cases(), [piece](TestDevice& device, const MlstmCase& mlstm) {
      return run_mlstm(device, mlstm, all_of(mlstm.lengths.size(), piece));
    });
  }
}

TEST_P(Conformance, MlstmUnpackedHasTheSameBits) {
  expect_same(mlstm_cases(), [](TestDevice& device, const MlstmCase& mlstm) {
    return run_mlstm(device, mlstm, all_of(mlstm.lengths.size()), false);
  });
}

TEST_P(Conformance, LinearRecurrenceAndItsStateHaveTheSameBits) {
  for (const int piece : {1 << 20, 5}) {
    expect_same(recurrence_cases(), [piece](TestDevice& device, const RecurrenceCase& recurrence) {
      return run_recurrence(device, recurrence, all_of(recurrence.lengths.size(), piece));
    });
  }
}

TEST_P(Conformance, ShortConvolutionAndItsInputsHaveTheSameBits) {
  for (const int piece : {1 << 20, 2}) {
    expect_same(convolution_cases(), [piece](TestDevice& device, const ConvolutionCase& one) {
      return run_convolution(device, one, all_of(one.lengths.size(), piece));
    });
  }
}

TEST_P(Conformance, SlstmAndItsCellsHaveTheSameBits) {
  for (const int piece : {1 << 20, 3}) {
    expect_same(slstm_cases(), [piece](TestDevice& device, const SlstmCase& slstm) {
      return run_slstm(device, slstm, all_of(slstm.lengths.size(), piece));
    });
  }
}

// Not in invariance_test.cpp, which backends without these operations run, too.
TEST_P(Conformance, RecurrentLayersDoNotDependOnCuts) {
  for (const int piece : {1, 3, 16}) {
    for (const RecurrenceCase& one : recurrence_cases()) {
      const std::size_t count = one.lengths.size();
      EXPECT_TRUE(same_bits(run_recurrence(device(), one, all_of(count, piece)),
                            run_recurrence(device(), one, all_of(count))))
          << text(one) << " piece " << piece;
    }
    for (const ConvolutionCase& one : convolution_cases()) {
      const std::size_t count = one.lengths.size();
      EXPECT_TRUE(same_bits(run_convolution(device(), one, all_of(count, piece)),
                            run_convolution(device(), one, all_of(count))))
          << text(one) << " piece " << piece;
    }
    for (const SlstmCase& one : slstm_cases()) {
      const std::size_t count = one.lengths.size();
      EXPECT_TRUE(same_bits(run_slstm(device(), one, all_of(count, piece)),
                            run_slstm(device(), one, all_of(count))))
          << text(one) << " piece " << piece;
    }
    device().check_and_clear();
  }
}

TEST_P(Conformance, ASlotOfARecurrentLayerForgetsWhatItHeldBefore) {
  const RecurrenceCase delta{.lengths = {3, 9},
                             .heads = 2,
                             .key_heads = 1,
                             .key_width = 5,
                             .value_width = 7,
                             .update = RecurrenceUpdate::delta};
  const SlstmCase slstm{.lengths = {3, 9}, .heads = 2, .head_width = 5};
  Feed spoiled = all_of(2);
  spoiled.spoiled = true;
  EXPECT_TRUE(same_bits(run_recurrence(device(), delta, spoiled),
                        run_recurrence(device(), delta, all_of(2))));
  EXPECT_TRUE(
      same_bits(run_slstm(device(), slstm, spoiled), run_slstm(device(), slstm, all_of(2))));
}

TEST_P(Conformance, DecayGatesHaveTheSameBits) { expect_same(gate_cases(), run_decay_gates); }

TEST_P(Conformance, GatedNormsHaveTheSameBits) { expect_same(gated_norm_cases(), run_gated_norm); }

TEST_P(Conformance, NormsOfGroupsHaveTheSameBits) {
  std::vector<GatedNormCase> cases = gated_norm_cases();
  std::erase_if(cases, [](const GatedNormCase& one) { return one.groups == 0; });
  expect_same(cases, run_norm_groups);
}

TEST_P(Conformance, SelectionHasTheSameBits) {
  for (const SelectCase& select : select_cases()) {
    const SelectData data = select_data(select);
    for (const int tp_size : {1, 2, 4, 8}) {
      EXPECT_TRUE(same_partials(run_select(device(), select, data, tp_size),
                                run_select(expected_, select, data, tp_size)))
          << text(select) << " tp " << tp_size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Conformance, ::testing::ValuesIn(all_candidates()), test_name);

}  // namespace
}  // namespace gridmill::testing
