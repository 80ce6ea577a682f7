#!/usr/bin/env bash
# Compares the bits of today's result files with tests/data/recorded_bits.txt; see recorded_bits.py.
#
# usage: recorded-bits.sh BUILD_DIR [--record]
# Needs a python3 with h5py (Debian: python3-h5py).
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)

python=
for candidate in /usr/bin/python3 python3; do
  if "$candidate" -c 'import h5py' 2> /dev/null; then python=$candidate; break; fi
done
[[ -n $python ]] || { echo "recorded-bits.sh: needs a python3 with h5py (Debian: python3-h5py)" >&2; exit 1; }

exec "$python" -B "$source/tests/property/recorded_bits.py" "$1" "$source/tests/data/recorded_bits.txt" "${@:2}"
