#include "architecture/layering.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace gridmill::architecture {

namespace fs = std::filesystem;

namespace {

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), std::istream_iterator<std::string>()};
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Lines "key: word word" of the fenced block ```name, in order.
std::vector<std::pair<std::string, std::vector<std::string>>> read_block(const fs::path& document,
                                                                         const std::string& name) {
  std::vector<std::pair<std::string, std::vector<std::string>>> entries;
  bool inside = false;
  for (const std::string& line : lines_of(read(document))) {
    if (!inside) {
      inside = line == "```" + name;
      continue;
    }
    if (line.rfind("```", 0) == 0) return entries;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) {
      throw std::runtime_error(document.string() + ": '" + line + "' in block " + name +
                               " has no colon");
    }
    entries.emplace_back(line.substr(0, colon), words_of(line.substr(colon + 1)));
  }
  throw std::runtime_error(document.string() + " has no block ```" + name);
}

/// Regular files below `folder` (none if it does not exist) in a fixed order.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool is_cpp(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".cpp" || extension == ".hpp" || extension == ".cu" || extension == ".cuh" ||
         extension == ".inc" || extension == ".h";
}

/// A C++ file of the product.
struct SourceFile {
  fs::path path;       ///< absolute
  std::string shown;   ///< relative to the root, for messages
  std::string inner;   ///< below include/gridmill or src, e.g. "base/json.hpp"
  std::string module;  ///< first folder of `inner`; empty for src/main.cpp
  bool is_public = false;
};

std::vector<SourceFile> product_files(const fs::path& root) {
  std::vector<SourceFile> files;
  for (const bool is_public : {true, false}) {
    const fs::path base = is_public ? root / "include" / "gridmill" : root / "src";
    for (const fs::path& path : files_below(base)) {
      if (!is_cpp(path)) continue;
      const std::string inner = path.lexically_relative(base).generic_string();
      const std::size_t slash = inner.find('/');
      files.push_back({path, path.lexically_relative(root).generic_string(), inner,
                       slash == std::string::npos ? "" : inner.substr(0, slash), is_public});
    }
  }
  return files;
}

std::string place(const SourceFile& file, const Include& include) {
  return file.shown + ":" + std::to_string(include.line) + ": ";
}

/// Headers of the C++ library have no dot; those of C, POSIX and Linux are listed.
bool is_system_header(const std::string& path) {
  if (path.find('.') == std::string::npos && path.find('/') == std::string::npos) return true;
  static const std::set<std::string> kSystem = {
      "cpuid.h",  "cxxabi.h",  "dirent.h",  "dlfcn.h",   "execinfo.h", "fcntl.h",
      "limits.h", "ifaddrs.h", "malloc.h",  "netdb.h",   "poll.h",     "pthread.h",
      "sched.h",  "signal.h",  "spawn.h",   "stdlib.h",  "string.h",   "time.h",
      "unistd.h", "errno.h",   "termios.h", "ucontext.h"};
  return kSystem.count(path) != 0 || path.rfind("sys/", 0) == 0 || path.rfind("net/", 0) == 0 ||
         path.rfind("linux/", 0) == 0 || path.rfind("netinet/", 0) == 0 ||
         path.rfind("arpa/", 0) == 0;
}

/// True if `inner` ("kernels/cpu/linear.cpp") lies below `home` ("kernels/cpu") or has it as stem.
bool lies_in(const std::string& inner, const std::string& home) {
  if (inner.rfind(home, 0) != 0) return false;
  const char next = inner.size() > home.size() ? inner[home.size()] : '\0';
  return next == '/' || next == '.';
}

}  // namespace

Rules read_rules(const fs::path& root) {
  const fs::path document = root / "docs" / "architecture.md";
  Rules rules;
  for (auto& [module, uses] : read_block(document, "deps")) {
    rules.modules.push_back(module);
    rules.deps[module] = uses;
  }
  for (auto& [header, homes] : read_block(document, "homes")) rules.homes[header] = homes;
  return rules;
}

std::vector<Include> includes_of(const std::string& text) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> includes;
  int number = 0;
  bool in_comment = false;
  for (const std::string& line : lines_of(text)) {
    ++number;
    std::smatch match;
    if (!in_comment && std::regex_search(line, match, kInclude)) {
      includes.push_back({number, match[2].str(), match[1].str() == "<"});
      continue;
    }
    for (std::size_t at = 0; at < line.size(); ++at) {
      if (!in_comment && line.compare(at, 2, "//") == 0) break;
      if (!in_comment && line.compare(at, 2, "/*") == 0) in_comment = true;
      if (in_comment && line.compare(at, 2, "*/") == 0) in_comment = false;
    }
  }
  return includes;
}

Violations check_deps_order(const Rules& rules) {
  Violations violations;
  std::set<std::string> listed;
  for (const std::string& module : rules.modules) {
    for (const std::string& used : rules.deps.at(module)) {
      if (listed.count(used) == 0) {
        violations.push_back("deps block: " + module + " uses " + used +
                             ", which is not listed above it");
      }
    }
    if (!listed.insert(module).second)
      violations.push_back("deps block lists " + module + " twice");
  }
  return violations;
}

Violations check_includes(const fs::path& root, const Rules& rules) {
  Violations violations;
  for (const SourceFile& file : product_files(root)) {
    const bool is_main = file.module.empty();
    if (!is_main && !contains(rules.modules, file.module)) {
      violations.push_back(file.shown + ": " + file.module + " is not a module of the deps block");
      continue;
    }
    for (const Include& include : includes_of(read(file.path))) {
      if (include.angled) {
        if (include.path.rfind("gridmill/", 0) == 0) {
          violations.push_back(place(file, include) + "headers of gridmill are included with \"\"");
        }
        continue;
      }
      const bool of_public = include.path.rfind("gridmill/", 0) == 0;
      const std::string inner = of_public ? include.path.substr(9) : include.path;
      const std::string used = inner.substr(0, inner.find('/'));
      if (!file.is_public && include.path.find('/') == std::string::npos &&
          fs::exists(file.path.parent_path() / include.path)) {
        continue;  // a private header next to its user
      }
      if (!contains(rules.modules, used)) {
        violations.push_back(place(file, include) + include.path +
                             " names no module and is not next to the file");
      } else if (!of_public && file.is_public) {
        violations.push_back(place(file, include) + "a public header includes " + include.path +
                             ", which is not installed");
      } else if (used == file.module) {
        continue;
      } else if (is_main ? used != "cli" : !contains(rules.deps.at(file.module), used)) {
        violations.push_back(place(file, include) + (is_main ? "main" : file.module) +
                             " may not use " + used + " (" + include.path + ")");
      } else if (!of_public) {
        violations.push_back(place(file, include) + include.path + " is private to " + used);
      }
    }
  }
  return violations;
}

Violations check_cmake_deps(const fs::path& root, const Rules& rules) {
  static const std::regex kCall(R"(gridmill_add_module\(\s*([A-Za-z0-9_]+)([^)]*)\))");
  static const std::set<std::string> kKeywords = {"SOURCES", "DEPS", "LIBS", "PRIVATE_LIBS"};
  Violations violations;
  for (const fs::path& base : {root / "src", root / "include" / "gridmill"}) {
    if (!fs::exists(base)) continue;
    for (const auto& entry : fs::directory_iterator(base)) {
      if (!entry.is_directory()) continue;
      const std::string name = entry.path().filename().string();
      if (!contains(rules.modules, name)) {
        violations.push_back(entry.path().lexically_relative(root).generic_string() +
                             " is not a module of the deps block");
      }
    }
  }
  for (const std::string& module : rules.modules) {
    const fs::path path = root / "src" / module / "CMakeLists.txt";
    const std::string shown = path.lexically_relative(root).generic_string();
    if (!fs::exists(path)) {
      violations.push_back(shown + " is missing, although the deps block lists " + module);
      continue;
    }
    const std::string text = read(path);
    std::smatch match;
    if (!std::regex_search(text, match, kCall) || match[1].str() != module) {
      violations.push_back(shown + " does not call gridmill_add_module(" + module + " ...)");
      continue;
    }
    std::set<std::string> found;
    bool in_deps = false;
    for (const std::string& word : words_of(match[2].str())) {
      if (kKeywords.count(word) != 0) {
        in_deps = word == "DEPS";
      } else if (in_deps) {
        found.insert(word);
      }
    }
    const std::vector<std::string>& uses = rules.deps.at(module);
    const std::set<std::string> expected(uses.begin(), uses.end());
    for (const std::string& name : expected) {
      if (found.count(name) == 0) {
        violations.push_back(shown + ": DEPS lacks " + name + ", which the deps block lists");
      }
    }
    for (const std::string& name : found) {
      if (expected.count(name) == 0) {
        violations.push_back(shown + ": DEPS has " + name + ", which the deps block does not list");
      }
    }
  }
  return violations;
}

Violations check_homes(const fs::path& root, const Rules& rules) {
  Violations violations;
  for (const SourceFile& file : product_files(root)) {
    for (const Include& include : includes_of(read(file.path))) {
      if (!include.angled || is_system_header(include.path)) continue;
      const auto home =
          std::find_if(rules.homes.begin(), rules.homes.end(),
                       [&](const auto& entry) { return include.path.rfind(entry.first, 0) == 0; });
      if (home == rules.homes.end()) {
        violations.push_back(place(file, include) + "<" + include.path +
                             "> has no home in docs/architecture.md");
      } else if (std::none_of(home->second.begin(), home->second.end(),
                              [&](const std::string& name) { return lies_in(file.inner, name); })) {
        violations.push_back(place(file, include) + "<" + include.path + "> is at home in " +
                             home->second.front() + " only");
      }
    }
  }
  return violations;
}

Violations check_file_length(const fs::path& root, int limit) {
  // What machines made or only read: data, models, the build.
  static const std::set<std::string> kSkippedFolders = {".git",   ".cache", "build", "out",
                                                        "models", "data",   "corpus"};
  static const std::set<std::string> kExtensions = {".cpp", ".hpp",    ".h",   ".cu", ".cuh",
                                                    ".inc", ".cmake",  ".py",  ".sh", ".md",
                                                    ".cfg", ".sbatch", ".json"};
  static const std::set<std::string> kNames = {"CMakeLists.txt", "run"};
  Violations violations;
  for (fs::recursive_directory_iterator at(root), end; at != end; ++at) {
    const std::string name = at->path().filename().string();
    if (at->is_directory()) {
      if (kSkippedFolders.count(name) != 0 || name.rfind("build-", 0) == 0) {
        at.disable_recursion_pending();
      }
      continue;
    }
    if (!at->is_regular_file() ||
        (kExtensions.count(at->path().extension().string()) == 0 && kNames.count(name) == 0)) {
      continue;
    }
    const auto count = static_cast<int>(lines_of(read(at->path())).size());
    if (count > limit) {
      violations.push_back(at->path().lexically_relative(root).generic_string() + " has " +
                           std::to_string(count) + " lines, the limit is " + std::to_string(limit));
    }
  }
  std::sort(violations.begin(), violations.end());
  return violations;
}

Violations check_header_table(const fs::path& root) {
  static const std::regex kRow(R"(^\| `([a-z0-9_/]+\.hpp)` \| \S.*\|$)");
  Violations violations;
  std::set<std::string> listed;
  bool in_section = false;
  for (const std::string& line : lines_of(read(root / "docs" / "architecture.md"))) {
    if (line.rfind("## ", 0) == 0) in_section = line == "## Public headers";
    std::smatch match;
    if (in_section && std::regex_match(line, match, kRow) && !listed.insert(match[1]).second) {
      violations.push_back("docs/architecture.md lists " + match[1].str() + " twice");
    }
  }
  std::set<std::string> existing;
  for (const SourceFile& file : product_files(root)) {
    if (file.is_public) existing.insert(file.inner);
  }
  for (const std::string& header : existing) {
    if (listed.count(header) == 0) {
      violations.push_back("docs/architecture.md, Public headers: no row for " + header);
    }
  }
  for (const std::string& header : listed) {
    if (existing.count(header) == 0) {
      violations.push_back("docs/architecture.md, Public headers: " + header + " does not exist");
    }
  }
  return violations;
}

Violations check_build_files(const fs::path& root) {
  static const std::regex kForbidden(
      R"(-march\b|-mtune\b|-ffast-math|FetchContent|ExternalProject|file\s*\(\s*DOWNLOAD|\bCPMAddPackage)");
  Violations violations;
  std::vector<fs::path> files = {root / "CMakeLists.txt", root / "CMakePresets.json"};
  for (const std::string_view folder : {"cmake", "src", "tests", "jobs", ".ci"}) {
    for (const fs::path& path : files_below(root / folder)) {
      const std::string name = path.filename().string();
      if (name == "CMakeLists.txt" || name == "run" || path.extension() == ".cmake" ||
          path.extension() == ".sh") {
        files.push_back(path);
      }
    }
  }
  for (const fs::path& path : files) {
    if (!fs::exists(path)) continue;
    int number = 0;
    for (const std::string& line : lines_of(read(path))) {
      ++number;
      std::smatch match;
      if (std::regex_search(line, match, kForbidden)) {
        violations.push_back(path.lexically_relative(root).generic_string() + ":" +
                             std::to_string(number) + ": " + match[0].str() +
                             " is not allowed in the build");
      }
    }
  }
  return violations;
}

}  // namespace gridmill::architecture
