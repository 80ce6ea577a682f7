#include "convert/quantised/quantisation.hpp"

#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

struct Method {
  std::string_view name;
  Quantisation (*read)(ConfigFields& fields);
};
constexpr std::array kMethods = {
    Method{"gptq", read_gptq},
    Method{"awq", read_awq},
    Method{"compressed-tensors", read_compressed_tensors},
    Method{"fp8", read_fp8},
    Method{"fbgemm_fp8", read_fp8},
    Method{"bitsandbytes", read_bitsandbytes},
};

std::string supported() {
  std::string list;
  for (const Method& method : kMethods) {
    list += (list.empty() ? "" : ", ") + std::string(method.name);
  }
  return list;
}

}  // namespace

std::optional<Quantisation> read_quantisation(ConfigFields& config) {
  std::string field = "quantization_config";
  const Json* found = config.value(field);
  if (found == nullptr) {
    field = "compression_config";  // older files of compressed-tensors
    found = config.value(field);
  }
  if (found == nullptr) return std::nullopt;
  config.ignore({"quantization_config", "compression_config"});
  ConfigFields fields(*found, config.where() + ": " + field);
  // Files of bitsandbytes that are older than the field say it by their switches.
  const bool old_bitsandbytes = fields.given("load_in_8bit") || fields.given("load_in_4bit");
  const std::string method = fields.text("quant_method", old_bitsandbytes ? "bitsandbytes" : "");
  for (const Method& one : kMethods) {
    if (one.name == method) return one.read(fields);
  }
  fields.fail("quant_method",
              method.empty() ? "is missing; gridmill reads " + supported()
                             : fmt::format("is \"{}\", which is unsupported; gridmill reads {}",
                                           method, supported()));
}

void expand_quantised(const Quantisation& quantisation, ForeignTensors& tensors,
                      const std::string& where) {
  const int count = quantisation.expand(tensors);
  if (count == 0) {
    throw FormatError(fmt::format("{}: the configuration says {}, but no weight is stored so",
                                  where, quantisation.name));
  }
  log::info("{}: {} weights are {}; they are dequantised, to bf16 unless --dtype says otherwise",
            where, count, quantisation.name);
}

std::vector<std::string> bases_of(const ForeignTensors& tensors, const std::string& ending) {
  std::vector<std::string> bases;
  for (const std::string& name : tensors.unused()) {  // none was used
    if (name.ends_with(ending)) bases.push_back(name.substr(0, name.size() - ending.size()));
  }
  return bases;
}

int for_each_weight(const std::vector<std::string>& bases,
                    const std::function<void(const std::string& base)>& expand) {
  for (const std::string& base : bases) expand(base);
  return static_cast<int>(bases.size());
}

void set_codes_aside(ForeignTensors& tensors, const std::vector<std::string>& bases,
                     const std::string& weight) {
  std::set<std::string> names;
  for (const std::string& base : bases) {
    names.insert(base + weight);
    if (!tensors.contains(base + weight)) {
      throw FormatError(
          fmt::format("tensor {}{} is missing beside the others of its weight", base, weight));
    }
  }
  tensors.rename(
      [&](const std::string& name) { return names.contains(name) ? name + kCodes : name; });
}

}  // namespace gridmill::convert_detail
