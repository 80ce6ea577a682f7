// LIBS: convert
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "convert/xlstm_jax_detail.hpp"
#include "fuzz/json_mutator.hpp"
#include "fuzz/mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/convert/convert.hpp"
#include "gridmill/model/model.hpp"

namespace {

using namespace gridmill;  // NOLINT(google-build-using-namespace)
using convert_detail::ConfigFields;

/// Runs `translate`; a configuration may be refused, by it or by the model.
template <typename Translate>
void try_to(Translate translate) {
  try {
    static_cast<void>(make_model(translate()));
  } catch (const FormatError&) {
    return;
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  return fuzz::hand_over(fuzz::mutated_json(fuzz::text_of(data, size), seed), data, max_size);
}

/// A foreign configuration: config.json of Hugging Face, or the attribute config of an xlstm-jax
/// file. Whatever it says, it is translated or refused with FormatError.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  log::configure(log::Level::error, 0);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Json parsed;
  try {
    parsed = parse_json(text, "config.json");
  } catch (const FormatError&) {
    return 0;
  }
  try_to([&] { return model_of_config(parsed, "config.json"); });
  try_to([&] {
    ConfigFields config(parsed, "config");
    convert_detail::FlaxLayout layout;
    return convert_detail::flax_xlstm_model(config, layout);
  });
  try_to([&] {
    ConfigFields config(parsed, "config");
    convert_detail::FlaxLayout layout;
    return convert_detail::flax_llama_model(config, layout);
  });
  return 0;
}
