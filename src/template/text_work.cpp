#include "template/text_work.hpp"

#include <vector>

namespace gridmill::jinja {

namespace {

/// Where `part` begins in `text`, from the left; between all characters if it is empty.
std::vector<std::size_t> places_of(Budget& budget, std::string_view text, std::string_view part,
                                   std::int64_t most) {
  std::vector<std::size_t> places;
  const auto enough = [&] { return most >= 0 && static_cast<std::int64_t>(places.size()) >= most; };
  if (part.empty()) {
    budget.create(text.size() * sizeof(std::size_t));
    for (std::size_t at = 0; !enough();) {
      places.push_back(at);
      if (at >= text.size()) break;
      static_cast<void>(next_character(text, at));
    }
    return places;
  }
  budget.scan(text.size());
  for (std::size_t at = text.find(part); at != std::string_view::npos && !enough();
       at = text.find(part, at + part.size())) {
    budget.create(sizeof(std::size_t));
    places.push_back(at);
  }
  return places;
}

}  // namespace

std::string replaced(Budget& budget, std::string_view text, std::string_view old_text,
                     std::string_view new_text, std::int64_t most) {
  const std::vector<std::size_t> places = places_of(budget, text, old_text, most);
  budget.create(text.size());
  for (std::size_t i = 0; i < places.size(); ++i) budget.create(new_text.size());
  std::string result;
  std::size_t from = 0;
  for (const std::size_t place : places) {
    result += text.substr(from, place - from);
    result += new_text;
    from = place + old_text.size();
  }
  result += text.substr(from);
  return result;
}

std::string stripped(Budget& budget, std::string_view text, StripSides sides,
                     std::string_view characters) {
  budget.create(text.size());
  // Each character that goes is looked for among `characters`.
  const std::string_view rest = strip(text, sides, &characters);
  budget.steps((text.size() - rest.size()) * characters.size() / 16);
  return std::string(rest);
}

}  // namespace gridmill::jinja
