#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace gridmill::architecture {

/// One sentence a violation, naming file and line; empty when the rule holds.
using Violations = std::vector<std::string>;

/// One include directive.
struct Include {
  int line = 0;
  std::string path;
  bool angled = false;  ///< <path> instead of "path"
};

/// What docs/architecture.md says about the tree.
struct Rules {
  std::vector<std::string> modules;                       ///< in the order of the deps block
  std::map<std::string, std::vector<std::string>> deps;   ///< module -> modules it may use
  std::map<std::string, std::vector<std::string>> homes;  ///< start of a header's path -> homes
};

/// Reads the fenced blocks `deps` and `homes` of `root`/docs/architecture.md.
/// @throws std::runtime_error if the file or a block is missing.
Rules read_rules(const std::filesystem::path& root);

/// Include directives of C++ source text, comments left out.
std::vector<Include> includes_of(const std::string& text);

/// A name is listed once, and above its first use.
Violations check_deps_order(const Rules& rules);
/// Every file below include/ and src/ includes only modules listed for its own; private headers
/// (src/) are included by their own module only; public headers include public ones only.
Violations check_includes(const std::filesystem::path& root, const Rules& rules);
/// DEPS of gridmill_add_module in src/<module>/CMakeLists.txt equal the deps block, and every
/// folder of src and include/gridmill is a listed module.
Violations check_cmake_deps(const std::filesystem::path& root, const Rules& rules);
/// Third-party headers stay in their homes; those without a home are refused.
Violations check_homes(const std::filesystem::path& root, const Rules& rules);
/// No file that people edit is longer than `limit` lines.
Violations check_file_length(const std::filesystem::path& root, int limit);
/// The table "Public headers" of docs/architecture.md lists exactly the files of include/gridmill.
Violations check_header_table(const std::filesystem::path& root);
/// Build files name no -march (kernels dispatch at run time) and load nothing from a network.
Violations check_build_files(const std::filesystem::path& root);

}  // namespace gridmill::architecture
