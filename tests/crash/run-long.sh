#!/usr/bin/env bash
# The crash suite up to a thousand counted hits; about an hour on two cores. May be cut short: it goes on where it stopped.
#
# usage: run-long.sh [options of suite/suite.py, e.g. --seconds 600 or --kills 2000]
# Environment: BUILD_DIR (build/release), LOG (BUILD_DIR/crash-hits.jsonl: a line for each hit; remove it to begin anew)
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD_DIR:-build/release}
exec bash tests/crash/run-python.sh "$build" suite.py --log "${LOG:-$build/crash-hits.jsonl}" --kills 1000 "$@"
