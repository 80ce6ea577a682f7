#!/usr/bin/env bash
# Builds the release preset and runs every test but those labelled gpu or slow. May be run again at any time; everything it
# makes is in the build folder.
#
# Environment: BUILD_DIR (build/release), JOBS (number of processors), LABELS (regular expression of labels, default all),
# GRIDMILL_GOLDEN_DIR (the full golden data; without it the tests that need it are skipped).
# Exit status: 0 if nothing failed and every skip is listed in tests/allowed_skips.txt.
set -euo pipefail
cd "$(dirname "$0")/.."

build_dir=${BUILD_DIR:-build/release}
jobs=${JOBS:-$(nproc)}
labels=${LABELS:-}

say() { printf '\n== %s\n' "$*"; }

bash jobs/install-packages.sh --check || {
  echo "run.sh: install them with: bash jobs/install-packages.sh" >&2
  exit 69
}

say "Configure: preset release in $build_dir"
configure=(cmake --preset release -B "$build_dir" "-DGRIDMILL_GOLDEN_DIR=${GRIDMILL_GOLDEN_DIR:-}")
if command -v ccache > /dev/null; then
  # Not below the source tree: hits across checkouts.
  configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=$PWD
fi
"${configure[@]}"

say "Build with $jobs jobs"
cmake --build "$build_dir" --parallel "$jobs"

say "Every public header compiles on its own"
cmake --build "$build_dir" --parallel "$jobs" --target all_verify_interface_header_sets

say "Tests${labels:+ labelled $labels}"
# What tests write goes to a folder of this run (short, since Open MPI keeps sockets there).
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
select=(-LE '^(gpu|slow)$')
[[ -z $labels ]] || select+=(-L "$labels")
status=0
TMPDIR=$scratch ctest --test-dir "$build_dir" --parallel "$jobs" --output-on-failure --no-tests=error \
  --timeout 600 --output-junit ctest.xml "${select[@]}" < /dev/null || status=$?

say "Summary"
bash tests/summary.sh "$build_dir/ctest.xml" "$build_dir/Testing/Temporary/LastTest.log" tests/allowed_skips.txt || status=1
exit "$status"
