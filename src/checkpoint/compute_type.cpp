#include "gridmill/checkpoint/compute_type.hpp"

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

ComputeType resolve_compute_type(std::string_view name, ParameterDType cast,
                                 std::span<const StoredParameter> stored, std::string_view backend,
                                 const std::string& where) {
  if (name == "fp32") return {DType::fp32, false};
  if (name == "bf16") return {DType::bf16, false};
  const bool coded = has_codes(stored, cast);
  if (name == "int8") {
    if (coded) return {DType::bf16, true};
    throw UsageError(fmt::format(
        "--compute-dtype int8 needs weights in int8 or int4, which {} has not{}; make them with "
        "gridmill convert --weights int8",
        where,
        cast == ParameterDType::checkpoint ? ""
        : cast == ParameterDType::bf16     ? " after --param-dtype bf16"
                                           : " after --param-dtype fp32"));
  }
  if (coded) return {DType::bf16, backend != "cuda"};
  return {dominant_dtype(stored, cast), false};
}

}  // namespace gridmill
