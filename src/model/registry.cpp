#include <memory>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/model/model.hpp"
#include "model/llama/llama_model_detail.hpp"
#include "model/xlstm/xlstm_model_detail.hpp"

namespace gridmill {

std::unique_ptr<Model> make_model(const Json& config) {
  using model_detail::ConfigReader;
  ConfigReader reader(config, "model configuration");
  const std::string family = reader.text("family");
  if (family == "llama")
    return std::make_unique<model_detail::LlamaModel>(model_detail::read_llama_config(config));
  if (family == "xlstm")
    return std::make_unique<model_detail::XlstmModel>(model_detail::read_xlstm_config(config));
  reader.unsupported("family", family, "llama, xlstm");
}

}  // namespace gridmill
