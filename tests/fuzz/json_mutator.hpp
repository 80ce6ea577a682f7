#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/mutator.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::fuzz {

/// Changes one value of a JSON tree: what parsers of a known format have to expect.
class JsonMutator {
 public:
  explicit JsonMutator(std::uint32_t seed) : random_(seed) {}

  void mutate(Json& root) {
    std::vector<Json*> nodes;
    collect(root, nodes);
    Json& target = *nodes[below(nodes.size())];
    const Json other = *nodes[below(nodes.size())];
    switch (below(8)) {
      case 0:  // a value of another kind
        target = extremes()[below(extremes().size())];
        break;
      case 1:  // the value of another place
        target = other;
        break;
      case 2:  // leave something out
        if (target.is_structured() && !target.empty()) {
          auto member = target.begin();
          std::advance(member, static_cast<std::ptrdiff_t>(below(target.size())));
          target.erase(member);
        }
        break;
      case 3:  // put something in
        if (target.is_array()) {
          target.push_back(other);
        } else if (target.is_object()) {
          target["added"] = other;
        }
        break;
      case 4:  // a member under the name of another one
        if (target.is_object() && !target.empty()) {
          auto from = target.begin();
          std::advance(from, static_cast<std::ptrdiff_t>(below(target.size())));
          auto to = target.begin();
          std::advance(to, static_cast<std::ptrdiff_t>(below(target.size())));
          to.value() = from.value();
        }
        break;
      case 5:  // a file that nobody named
        target = paths_elsewhere()[below(paths_elsewhere().size())];
        break;
      case 6:  // a number beside the right one
        if (target.is_number_integer()) {
          target = static_cast<std::int64_t>(target.get<std::uint64_t>() + below(3) - 1);
        }
        break;
      default:  // texts cut, repeated or joined
        if (target.is_string() && other.is_string()) {
          const auto text = target.get<std::string>();
          target = below(2) == 0 ? text.substr(0, below(text.size() + 1))
                                 : text + other.get<std::string>();
        }
        break;
    }
  }

 private:
  std::minstd_rand random_;

  std::size_t below(std::size_t bound) { return random_() % bound; }

  static const std::vector<Json>& extremes() {
    static const std::vector<Json> kValues = {nullptr,
                                              true,
                                              0,
                                              -1,
                                              1,
                                              2147483647,
                                              4294967296,
                                              std::uint64_t{1} << 63,
                                              std::numeric_limits<std::int64_t>::min(),
                                              1e308,
                                              1e-308,
                                              -0.5,
                                              "",
                                              "\u2581",
                                              "a\u0301",
                                              "\x1b[2J\u202e",
                                              std::string(3, '\0'),
                                              "Metaspace",
                                              "Unigram",
                                              "[[a&&[^b]]c]+",
                                              Json::array(),
                                              Json::object(),
                                              Json::array({"a", 1})};
    return kValues;
  }

  static void collect(Json& node, std::vector<Json*>& nodes) {
    nodes.push_back(&node);
    if (!node.is_structured()) return;
    for (Json& child : node) collect(child, nodes);
  }
};

/// Parses `text`, changes up to four values and writes it again; text that is no JSON stays.
inline std::string mutated_json(const std::string& text, std::uint32_t seed) {
  Json root = Json::parse(text, nullptr, false);
  if (root.is_discarded()) return text;
  JsonMutator mutator(seed);
  for (std::uint32_t changes = 1 + seed % 4; changes > 0; --changes) mutator.mutate(root);
  return root.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace gridmill::fuzz
