#include "model/unsupported.hpp"

#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill::model_detail {

namespace {

void refuse_if(bool present, const std::string& what) {
  if (present)
    throw FormatError("model configuration: " + what + " is unsupported by this gridmill");
}

}  // namespace

void refuse_unsupported(const ModelSpec& spec) { refuse_if(spec.head.bias, "head.bias"); }

}  // namespace gridmill::model_detail
