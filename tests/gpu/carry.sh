#!/usr/bin/env bash
# Fills a folder with the headers and libraries that tests/gpu/run.sh needs on a machine which has none of gridmill's
# packages: {fmt}, nlohmann-json, xxHash, GoogleTest and Boost.Program_options of this machine (Debian or Ubuntu, the same
# architecture, a C library that is not newer than there).
#
# usage: bash tests/gpu/carry.sh [FOLDER]     (build/carried, which git ignores and run.sh finds)
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-build/carried}
compiler=${CXX:-c++}

rm -rf "$folder"
mkdir -p "$folder/include" "$folder/lib"

# Every header that these pull in, with their path below /usr/include.
"$compiler" -std=c++20 -M -x c++ - << 'SOURCE' | tr ' \\' '\n\n' | grep -E '^/usr/include/(boost|fmt|gtest|nlohmann)/' |
#include <boost/program_options.hpp>
#include <fmt/core.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
SOURCE
  sort -u | (cd / && sed 's#^/##' | tar -cf - -T -) | tar -xf - -C "$folder" --strip-components=1
# Headers alone: fmt/core.h reaches the sources through FMT_HEADER_ONLY, xxHash through XXH_INLINE_ALL.
cp /usr/include/fmt/*.h "$folder/include/fmt/"
cp /usr/include/xxhash.h "$folder/include/"
[[ ! -f /usr/include/xxh3.h ]] || cp /usr/include/xxh3.h "$folder/include/"

for library in libboost_program_options.a libgtest.a libgtest_main.a; do
  path=$("$compiler" -print-file-name="$library")
  [[ -f $path ]] || { echo "carry.sh: $library is not installed" >&2; exit 69; }
  cp "$path" "$folder/lib/"
done
du -sh "$folder"
