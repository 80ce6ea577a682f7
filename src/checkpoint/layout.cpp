#include <algorithm>

#include "checkpoint/layout_detail.hpp"
#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::checkpoint_layout {

std::string checkpoint_hash(const Json& model, std::vector<HashedParameter> parameters) {
  std::sort(parameters.begin(), parameters.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  ContentHash hash;
  hash.update(model.dump() + "\n");  // keys sorted, no white space
  for (const HashedParameter& parameter : parameters) {
    hash.update(fmt::format("{} {} {} {}\n", Json(parameter.name).dump(), name_of(parameter.dtype),
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

std::int64_t element_count(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace gridmill::checkpoint_layout
