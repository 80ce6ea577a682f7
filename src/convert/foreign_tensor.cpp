#include <utility>

#include "convert/foreign_tensor_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

std::string to_text(const Extents& extents) {
  std::string text = "[";
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    text += (axis == 0 ? "" : ", ") + std::to_string(extents[axis]);
  }
  return text + "]";
}

std::int64_t element_count(const Extents& extents) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 62;
  std::int64_t product = 1;
  bool empty = false;
  for (const std::int64_t extent : extents) {
    if (extent < 0) return -1;
    if (extent == 0) {
      empty = true;
    } else if (extent > kLargest / product) {
      return -1;
    } else {
      product *= extent;
    }
  }
  return empty ? 0 : product;
}

void ForeignTensors::add(std::unique_ptr<ForeignTensor> tensor) {
  const std::string name = tensor->name();
  const auto found = tensors_.find(name);
  if (found != tensors_.end()) {
    throw FormatError(fmt::format("{}: tensor {} occurs a second time (first in {})",
                                  tensor->file(), name, found->second.tensor->file()));
  }
  tensors_.emplace(name, Entry{.tensor = std::move(tensor)});
}

const ForeignTensor* ForeignTensors::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second.tensor.get();
}

const ForeignTensor& ForeignTensors::use(const std::string& name, const Extents& expected,
                                         const std::string& where) {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw FormatError(
        fmt::format("{}: tensor {} {} is missing; the configuration asks for it, so either the "
                    "checkpoint is incomplete or the configuration is of another model",
                    where, name, to_text(expected)));
  }
  const ForeignTensor& tensor = *found->second.tensor;
  if (tensor.shape() != expected) {
    throw FormatError(
        fmt::format("{}: tensor {} is {}, expected {} from the configuration; do weights and "
                    "configuration belong together?",
                    tensor.file(), name, to_text(tensor.shape()), to_text(expected)));
  }
  if (!tensor.floating()) {
    throw FormatError(
        fmt::format("{}: tensor {} has elements of type {}, expected a floating-point type; "
                    "quantised checkpoints are unsupported",
                    tensor.file(), name, tensor.type()));
  }
  found->second.used = true;
  return tensor;
}

void ForeignTensors::mark_used(const std::string& name) { tensors_.at(name).used = true; }

void ForeignTensors::rename(const std::function<std::string(const std::string&)>& new_name) {
  std::map<std::string, Entry> renamed;
  for (auto& [name, entry] : tensors_) {
    const std::string other = new_name(name);
    const std::string file = entry.tensor->file();
    if (!renamed.emplace(other, std::move(entry)).second) {
      throw FormatError(
          fmt::format("{}: tensor {} occurs a second time, under another prefix", file, other));
    }
  }
  tensors_ = std::move(renamed);
}

std::vector<std::string> ForeignTensors::unused() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : tensors_) {
    if (!entry.used) names.push_back(name);
  }
  return names;
}

}  // namespace gridmill::convert_detail
