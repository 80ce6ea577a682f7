#!/usr/bin/env bash
# Runs every fuzz target on many changed inputs, and prints how many each one had. A failing input stays in the working folder
# as failed-input; it ends the script.
#
# usage: run-long.sh [MUTATIONS of all targets together, default 100000] [SEED]
# Environment: BUILD_DIR, default build/release. For address sanitizer: a build with -DGRIDMILL_SANITIZER=address,undefined.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD_DIR:-build/release} mutations=${1:-100000} seed=${2:-1}
cmake --build "$build" --target fuzz
targets=("$build"/tests/fuzz/*_fuzz)
each=$(((mutations + ${#targets[@]} - 1) / ${#targets[@]}))
for target in "${targets[@]}"; do
  name=$(basename "$target" _fuzz)
  printf '%-16s ' "$name"
  "$target" --corpus "tests/fuzz/corpus/$name" --runs "$each" --seconds 1000000 --timeout 20 --seed "$seed"
done
