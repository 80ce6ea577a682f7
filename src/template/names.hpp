#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "template/syntax.hpp"

namespace gridmill::jinja {

/// The names of a template, numbered in order of appearance.
class Names {
 public:
  [[nodiscard]] NameId id_of(const std::string& name) {
    const auto [place, is_new] = ids_.try_emplace(name, static_cast<NameId>(texts_.size()));
    if (is_new) texts_.push_back(name);
    return place->second;
  }
  /// Null if the template does not have the name.
  [[nodiscard]] const NameId* find(std::string_view name) const {
    const auto place = ids_.find(std::string(name));
    return place == ids_.end() ? nullptr : &place->second;
  }
  [[nodiscard]] const std::string& text(NameId id) const { return texts_[id]; }

 private:
  std::vector<std::string> texts_;
  std::unordered_map<std::string, NameId> ids_;
};

}  // namespace gridmill::jinja
