#include <algorithm>

#include "checkpoint/layout_detail.hpp"
#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/params/shape.hpp"

namespace gridmill::checkpoint_layout {

std::string checkpoint_hash(const Json& model, std::vector<HashedParameter> parameters) {
  std::sort(parameters.begin(), parameters.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  ContentHash hash;
  hash.update(model.dump() + "\n");  // keys sorted, no white space
  for (const HashedParameter& parameter : parameters) {
    hash.update(fmt::format("{} {} {} {}\n", Json(parameter.name).dump(), parameter.type,
                            shape_text(parameter.shape), parameter.hash));
  }
  return hash.hex();
}

std::string hashes_text(const std::string& checkpoint,
                        const std::vector<HashedParameter>& parameters) {
  OrderedJson text;
  text["checkpoint"] = checkpoint;
  text["parameters"] = OrderedJson::object();
  for (const HashedParameter& parameter : parameters) {
    text["parameters"][parameter.name] = parameter.hash;
  }
  return text.dump(1);
}

std::string placeholder_hash() {
  std::string hash = ContentHash().hex();
  std::fill(hash.begin() + static_cast<std::ptrdiff_t>(hash.find(':')) + 1, hash.end(), '0');
  return hash;
}

std::string type_name(DType dtype, const WeightFormat& format) {
  if (!format.coded()) return std::string(name_of(dtype));
  return fmt::format("{}/{}", name_of(format.codes), format.group);
}

std::string joined_hash(const std::string& codes, const std::string& scales) {
  return codes + " " + scales;
}

bool is_group_block(std::int64_t inputs, std::int64_t block) {
  return block == inputs || block == reduction_block_inputs(inputs);
}

bool is_group(std::int64_t group) { return group == 32 || group == 64 || group == 128; }

std::int64_t element_count(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace gridmill::checkpoint_layout
