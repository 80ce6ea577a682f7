#include "convert/tied_head.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

constexpr std::int64_t kPieceElements = std::int64_t{1} << 20;

bool have_equal_numbers(const ForeignTensor& left, const ForeignTensor& right) {
  const std::int64_t count = element_count(left.shape());
  std::vector<float> a(static_cast<std::size_t>(std::min(count, kPieceElements)));
  std::vector<float> b(a.size());
  for (std::int64_t first = 0; first < count; first += kPieceElements) {
    const auto size = static_cast<std::size_t>(std::min(count - first, kPieceElements));
    left.read(first, std::span(a).first(size));
    right.read(first, std::span(b).first(size));
    if (std::memcmp(a.data(), b.data(), size * sizeof(float)) != 0) return false;
  }
  return true;
}

/// Where the configuration says that the head is the embedding; nullptr if it cannot.
Json* tied_field(Json& model) {
  Json& place = model.contains("head") ? model["head"] : model;
  return place.is_object() && place.contains("tied") ? &place["tied"] : nullptr;
}

}  // namespace

void untie_other_head(ForeignModel& foreign) {
  Json* tied = foreign.folder ? tied_field(foreign.model) : nullptr;
  if (tied == nullptr || *tied != true) return;
  const std::vector<std::int64_t> shape = {foreign.model.at("vocab_size").get<std::int64_t>(),
                                           foreign.model.at("hidden_size").get<std::int64_t>()};
  const auto tensor_of = [&](const char* parameter) {
    const ParameterSpec spec{.name = parameter, .shape = shape};
    return foreign.tensors.find(foreign.take(spec, foreign.tensors).tensor);
  };
  const ForeignTensor* head = tensor_of("head");
  const ForeignTensor* embedding = tensor_of("embedding");
  if (head == nullptr || embedding == nullptr) return;
  const bool comparable =
      head->shape() == embedding->shape() && head->floating() && embedding->floating();
  if (comparable && have_equal_numbers(*head, *embedding)) return;
  log::warn(
      "{}: the configuration ties the head to the embedding, but {} has other numbers than {}; the "
      "head's own are used",
      foreign.where, head->name(), embedding->name());
  *tied = false;
}

}  // namespace gridmill::convert_detail
