#!/usr/bin/env bash
# Runs readers_test.py with the Python of GRIDMILL_READERS_PYTHON, build/readers or the system, the first that has all packages;
# exit status 77 (skipped) if none has.
#
# usage: run.sh GRIDMILL_PROGRAM
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
for python in "${GRIDMILL_READERS_PYTHON:-}" "$here/../../build/readers/bin/python" python3; do
  if [[ -n $python ]] && "$python" -c 'import h5py, pandas, datasets' 2> /dev/null; then
    exec "$python" "$here/readers_test.py" "$1"
  fi
done
echo "skipped: no Python with h5py, pandas and datasets; bash tests/readers/install.sh makes one"
exit 77
