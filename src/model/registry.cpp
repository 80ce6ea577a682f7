#include <memory>

#include "gridmill/model/model.hpp"
#include "gridmill/model/model_spec.hpp"
#include "model/decoder.hpp"

namespace gridmill {

std::unique_ptr<Model> make_model(const Json& config) {
  return std::make_unique<model_detail::Decoder>(read_model_spec(config));
}

}  // namespace gridmill
