#include "architecture/standard_headers.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

namespace gridmill::architecture {

namespace fs = std::filesystem;

namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// A file of the tree: what it includes and what it says.
struct Source {
  std::set<std::string> standard;  ///< headers in <>
  std::vector<fs::path> ours;      ///< headers of the tree
  std::string text;                ///< without comments and literals
};

/// The files of the tree that an include directive can mean.
std::optional<fs::path> find_header(const fs::path& root, const fs::path& from,
                                    const std::string& path) {
  for (const fs::path& folder :
       {from.parent_path(), root / "src", root / "include", root / "tests"}) {
    if (fs::exists(folder / path)) return (folder / path).lexically_normal();
  }
  return std::nullopt;
}

Source read_source(const fs::path& root, const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  Source source;
  for (const Include& include : includes_of(text.str())) {
    if (include.angled) {
      source.standard.insert(include.path);
    } else if (const auto header = find_header(root, path, include.path)) {
      source.ours.push_back(*header);
    }
  }
  source.text = without_comments_and_literals(text.str());
  return source;
}

class Tree {
 public:
  explicit Tree(fs::path root) : root_(std::move(root)) {}

  const Source& source(const fs::path& path) {
    const auto found = sources_.find(path);
    if (found != sources_.end()) return found->second;
    return sources_.emplace(path, read_source(root_, path)).first->second;
  }

  /// Standard headers that `path` includes itself or through headers of the tree.
  std::set<std::string> reached(const fs::path& path) {
    std::set<std::string> headers;
    std::set<fs::path> seen;
    std::vector<fs::path> left = {path};
    while (!left.empty()) {
      const fs::path next = left.back();
      left.pop_back();
      if (!seen.insert(next).second) continue;
      const Source& one = source(next);
      headers.insert(one.standard.begin(), one.standard.end());
      left.insert(left.end(), one.ours.begin(), one.ours.end());
    }
    return headers;
  }

 private:
  fs::path root_;
  std::map<fs::path, Source> sources_;
};

/// Position of `next` behind white space at `at`.
std::size_t skip_space(const std::string& text, std::size_t at) {
  while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at])) != 0) ++at;
  return at;
}

/// True if `for (` at `at` goes through a list in braces, whose type is std::initializer_list.
bool loops_over_braces(const std::string& text, std::size_t at) {
  at = skip_space(text, at);
  if (at >= text.size() || text[at] != '(') return false;
  int depth = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '(') ++depth;
    if (c == ')' && --depth == 0) return false;
    if (c == ';') return false;
    if (c == ':' && text[at + 1] != ':' && text[at - 1] != ':') {
      const std::size_t next = skip_space(text, at + 1);
      return next < text.size() && text[next] == '{';
    }
  }
  return false;
}

/// A name as it is used, and where first.
using Uses = std::map<std::string, std::size_t>;

/// Every name that `text` uses and that `names` may know, at its first position.
Uses uses_of(const std::string& text, const StandardNames& names) {
  Uses uses;
  for (std::size_t at = 0; at < text.size();) {
    if (!is_word(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && is_word(text[end])) ++end;
    std::string word = text.substr(at, end - at);
    const bool qualified = at >= 2 && text.compare(at - 2, 2, "::") == 0;
    const bool global = qualified && (at < 3 || (!is_word(text[at - 3]) && text[at - 3] != '>'));
    if (word == "std" && text.compare(end, 2, "::") == 0) {
      // std::name, or std::space::name as "std::space::" if that is a namespace of the table.
      const std::size_t first = end + 2;
      end = first;
      while (end < text.size() && is_word(text[end])) ++end;
      word.append("::").append(text, first, end - first);
      if (text.compare(end, 2, "::") == 0 && names.count(word + "::") != 0) word += "::";
      uses.emplace(word, at);
    } else if (global && text.compare(end, 1, "(") == 0) {
      uses.emplace(word.insert(0, 2, ':'), at);
    } else if (!qualified && names.count(word) != 0) {
      uses.emplace(word, at);
    }
    if (word == "for" && loops_over_braces(text, end)) uses.emplace("std::initializer_list", at);
    at = end;
  }
  return uses;
}

std::string list_of(const std::set<std::string>& headers) {
  std::string text;
  for (const std::string& header : headers) {
    text.append(text.empty() ? "<" : " or <").append(header).append(">");
  }
  return text;
}

bool is_cpp(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".cpp" || extension == ".hpp" || extension == ".cu" || extension == ".cuh";
}

}  // namespace

StandardNames read_standard_names(const fs::path& table) {
  std::ifstream file(table);
  if (!file) throw std::runtime_error("cannot read " + table.string());
  StandardNames names;
  bool of_std = true;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("# Without std::", 0) == 0) of_std = false;
    if (line.empty() || line[0] == '#') continue;
    const std::size_t colon = line.find(": ");
    if (colon == std::string::npos) {
      throw std::runtime_error(table.string() + ": '" + line + "' has no colon");
    }
    std::istringstream before(line.substr(0, colon));
    std::set<std::string> headers;
    for (std::string header; before >> header;) headers.insert(header);
    std::istringstream behind(line.substr(colon + 2));
    for (std::string name; behind >> name;) {
      names[(of_std ? "std::" : "") + name].insert(headers.begin(), headers.end());
    }
  }
  return names;
}

std::string without_comments_and_literals(const std::string& text) {
  std::string result = text;
  const auto blank = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < std::min(to, result.size()); ++i) {
      if (result[i] != '\n') result[i] = ' ';
    }
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view rest = std::string_view(text).substr(at);
    std::size_t end = at + 1;
    if (rest.rfind("//", 0) == 0) {
      end = std::min(text.find('\n', at), text.size());
      blank(at, end);
    } else if (rest.rfind("/*", 0) == 0) {
      const std::size_t close = text.find("*/", at + 2);
      end = close == std::string::npos ? text.size() : close + 2;
      blank(at, end);
    } else if (rest.rfind("R\"", 0) == 0 && (at == 0 || !is_word(text[at - 1]))) {
      const std::size_t open = text.find('(', at);
      const std::string mark = std::string(1, ')').append(text, at + 2, open - at - 2).append("\"");
      const std::size_t close = text.find(mark, open);
      end = close == std::string::npos ? text.size() : close + mark.size();
      blank(at, end);
    } else if (text[at] == '"' || (text[at] == '\'' && (at == 0 || !is_word(text[at - 1])))) {
      // An apostrophe behind a digit separates digits.
      while (end < text.size() && text[end] != text[at] && text[end] != '\n') {
        end += text[end] == '\\' ? 2 : 1;
      }
      blank(at + 1, end);
      end = std::min(end + 1, text.size());
    }
    at = end;
  }
  return result;
}

Violations check_standard_headers(const fs::path& root, const StandardNames& names) {
  Violations violations;
  Tree tree(root);
  std::vector<fs::path> files;
  for (const char* folder : {"include", "src", "tests"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.is_regular_file() && is_cpp(entry.path())) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string& text = tree.source(file).text;
    const std::set<std::string> reached = tree.reached(file);
    for (const auto& [name, at] : uses_of(text, names)) {
      const auto line =
          1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
      const std::string place =
          file.lexically_relative(root).generic_string() + ":" + std::to_string(line) + ": ";
      const auto known = names.find(name);
      if (known == names.end()) {
        violations.push_back(place + name + " has no line in standard_headers.txt; add one");
        continue;
      }
      const bool is_reached = std::any_of(known->second.begin(), known->second.end(),
                                          [&](const auto& h) { return reached.count(h) != 0; });
      if (!is_reached) violations.push_back(place + name + " needs " + list_of(known->second));
    }
  }
  return violations;
}

}  // namespace gridmill::architecture
