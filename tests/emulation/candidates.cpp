#include "unit/kernels/candidates.hpp"

#include "support/cuda_under_test.hpp"

// The cuda backend (cuda_under_test.hpp) in place of the candidates of tests/unit/kernels.
namespace gridmill::testing {

std::vector<Candidate> all_candidates() { return rule_candidates(); }

std::vector<Candidate> rule_candidates() {
  return {{"cuda", 1, DType::fp32}, {"cuda", 1, DType::bf16}};
}

std::unique_ptr<Backend> make_candidate(const Candidate& candidate) {
  return make_cuda(candidate.dtype);
}

std::string label(const Candidate& candidate) {
  return cuda_label() + "_" + std::string(name_of(candidate.dtype));
}

std::string test_name(const ::testing::TestParamInfo<Candidate>& parameter) {
  return label(parameter.param);
}

void PrintTo(const Candidate& candidate, std::ostream* stream) { *stream << label(candidate); }

}  // namespace gridmill::testing
