#!/usr/bin/env bash
# A gridmill without MPI and HDF5 measures, and says what it lacks. usage: program_test.sh PROGRAM
set -uo pipefail
program=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

# expect STATUS WORD ARGUMENT...: the exit status, and a word of what is printed.
expect() {
  local status=$1 word=$2 found=0
  shift 2
  "$program" "$@" > "$scratch/out" 2>&1 || found=$?
  if [[ $found -ne $status ]] || ! grep -qF -- "$word" "$scratch/out"; then
    echo "FAILED: gridmill $*: exit status $found, expected $status and '$word'; printed:"
    cat "$scratch/out"
    failures=$((failures + 1))
  fi
}

cat > "$scratch/tiny.json" << 'JSON'
{"family": "xlstm", "vocab_size": 300, "hidden_size": 24, "layers": 2, "heads": 4, "norm_eps": 1e-6, "qk_dim": 16,
 "v_dim": 32, "ffn_size": 52}
JSON
echo '{"model_type": "llama"}' > "$scratch/foreign.json"
tiny=(bench --shape "$scratch/tiny.json" --prompt 5 --gen 4 --repeat 1 --threads 1 --batch 2 --backend)

expect 0 'bench' --help
expect 0 'MPI: not built in' --version
expect 0 '"weights":"random, made in memory"' "${tiny[@]}" cpu
expect 0 '"backend":"reference"' "${tiny[@]}" reference
expect 69 'GRIDMILL_MPI=OFF' generate
expect 64 'unknown command' generat
expect 64 'needs HDF5' "${tiny[@]}" cpu --model "$scratch/model.h5"
expect 64 'without converters' bench --shape "$scratch/foreign.json"
# With a device there it runs; then tests/gpu measures it.
if ! nvidia-smi -L > /dev/null 2>&1; then expect 69 'backend cuda' "${tiny[@]}" cuda; fi

[[ $failures -eq 0 ]] && echo "all as expected"
exit "$((failures > 0))"
