#!/usr/bin/env bash
# run.sh GRIDMILL [--keep FOLDER]: pages of `gridmill report` in headless Chromium.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for program in chromium python3; do
  command -v "$program" > /dev/null && continue
  echo "SKIPPED: $program is not installed (Debian: apt-get install $program)"
  exit 77
done
exec python3 -B "$here/browser_test.py" "$@"
