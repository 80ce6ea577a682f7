#!/usr/bin/env bash
# Runs a script of suite/ on a build folder: finds the program and its helpers, makes the model.
#
# usage: run-python.sh BUILD_DIR SCRIPT [options of the script]
# Needs a python3 with h5py (Debian: python3-h5py).
set -euo pipefail
build=$(cd "$1" && pwd)
script=$2
shift 2
source=$(cd "$(dirname "$0")/../.." && pwd)

python=
for candidate in /usr/bin/python3 python3; do
  if "$candidate" -c 'import h5py' 2> /dev/null; then python=$candidate; break; fi
done
[[ -n $python ]] || { echo "run-python.sh: needs a python3 with h5py (Debian: python3-h5py)" >&2; exit 1; }

model=$build/tests/crash/stories260K.h5
if [[ ! -s $model ]]; then
  "$build/src/gridmill" convert "$source/models/stories260K/stories260K.bin" "$model" \
    --tokenizer "$source/models/stories260K/tok512.bin"
fi
export GRIDMILL_LAUNCH=$build/tests/launch
folder=/tmp
[[ ! -d /dev/shm ]] || folder=/dev/shm  # a kill leaves the page cache as it is: memory is disk enough
exec "$python" -B "$source/tests/crash/suite/$script" --program "$build/src/gridmill" \
  --shim "$build/tests/crash/libgridmill_store_shim.so" --model "$model" --folder "$folder" "$@"
