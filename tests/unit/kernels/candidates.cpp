#include "unit/kernels/candidates.hpp"

#include "support/null_device/null_device.hpp"

namespace gridmill::testing {

std::vector<Candidate> all_candidates() {
  std::vector<Candidate> candidates;
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    for (const char* name : {"reference", "null", "avx2", "avx512", "avx512bf16"}) {
      candidates.push_back({name, 1, dtype});
    }
    candidates.push_back({"auto", 3, dtype});
  }
  return candidates;
}

std::vector<Candidate> rule_candidates() {
  return {{"reference", 1, DType::fp32}, {"reference", 1, DType::bf16}};
}

std::unique_ptr<Backend> make_candidate(const Candidate& candidate) {
  if (candidate.name == "null") return make_null_device(candidate.dtype);
  if (candidate.name == "reference") {
    return make_backend("reference", {.compute_dtype = candidate.dtype});
  }
  return make_backend("cpu", {.compute_dtype = candidate.dtype,
                              .threads = candidate.threads,
                              .kernel_target = candidate.name});
}

std::string label(const Candidate& candidate) {
  std::string text = candidate.name;
  if (candidate.threads > 1) text = "cpu_" + std::to_string(candidate.threads) + "_threads";
  return text + "_" + std::string(name_of(candidate.dtype));
}

std::string test_name(const ::testing::TestParamInfo<Candidate>& parameter) {
  return label(parameter.param);
}

void PrintTo(const Candidate& candidate, std::ostream* stream) { *stream << label(candidate); }

}  // namespace gridmill::testing
