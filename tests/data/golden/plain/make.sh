#!/usr/bin/env bash
# Writes the .bin files of this folder from tests/data/golden/hf: line of JSON (with the source), then
# the parameters in gridmill's names and the recorded logits as float32. tests/golden/plain_golden.hpp reads
# them. BUILD_DIR (build/release) is a configured build with HDF5.
set -euo pipefail
cd "$(dirname "$0")/../../../.."
build_dir=${BUILD_DIR:-build/release}
cmake --build "$build_dir" --target make_plain_golden
"$build_dir/tests/golden/make_plain_golden" tests/data/golden/plain
