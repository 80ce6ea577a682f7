#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "architecture/layering.hpp"

namespace gridmill::architecture {

/// Name ("std::vector", "::mmap", "INT_MAX") -> headers, each of which declares it. A name that
/// ends in "::" is a namespace.
using StandardNames = std::map<std::string, std::set<std::string>>;

/// Reads standard_headers.txt. @throws std::runtime_error for a line without colon.
StandardNames read_standard_names(const std::filesystem::path& table);

/// Source text without comments and without the content of literals; lines stay where they are.
std::string without_comments_and_literals(const std::string& text);

/// Every C++ file below include/, src/ and tests/ includes the header of every name that it uses,
/// by itself or through headers of this tree. A standard library may include some of its headers in
/// others; which ones differs between libraries and their versions, so that does not count. A name
/// of std:: that is not in `names` is a violation, too.
Violations check_standard_headers(const std::filesystem::path& root, const StandardNames& names);

}  // namespace gridmill::architecture
