#!/usr/bin/env bash
# A row of LENGTH tokens of a recurrent model and of a hybrid with windows: its process takes the memory of one of 1,000
# tokens, and the row that was stopped, killed and resumed has the bits of the one that was not.
#
# usage: bash tests/property/long-row.sh [BUILD_DIR]      (build/release)
# Environment: LENGTH (100000). Exit status: 0 if all of it holds.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/support/ranks.sh
build_dir=$(cd "${1:-build/release}" && pwd)
gridmill=$build_dir/src/gridmill
length=${LENGTH:-100000}
# Beside the states, a row has its tokens and what the allocator keeps: far less than a cache of so many positions.
most_growth_kib=12288

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$build_dir/tests/property/make_models" "$folder"
cd "$folder"

generate() { # OUTPUT MODEL NEW_TOKENS OPTION...
  local output=$1 model=$2 tokens=$3
  shift 3
  "$gridmill" generate --model "$model.h5" --prompts prompt.h5 --output "$output" --backend cpu --threads 1 --slots 1 \
    --max-length "$length" --max-new-tokens "$tokens" --ignore-eos --temperature 0.9 --seed 11 --progress none --log-level error "$@"
}
peak_kib() { # COMMAND...: its largest resident size
  python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@"
}
export -f generate
export gridmill length

for model in mamba_long delta_long; do
  short=$(peak_kib bash -c "generate short-$model.h5 $model 1000")
  start=$(date +%s%3N)
  long=$(peak_kib bash -c "generate expected-$model.h5 $model $length")
  took=$(($(date +%s%3N) - start))  # milliseconds
  if ((long - short > most_growth_kib)); then
    echo "GROWS: $model takes $short KiB for 1,000 tokens, $long KiB for $length"
    exit 1
  fi
  # Stopped in the middle, which saves the row; then killed; then to the end.
  status=0
  generate out.h5 "$model" "$length" --time-limit "$((took / 3))ms" || status=$?
  if ((status != 75)); then
    echo "NOT STOPPED: $model ended with $status before its time limit"
    exit 1
  fi
  generate out.h5 "$model" "$length" &
  job=$!
  sleep "$(printf '%d.%03d' $((took / 3000)) $((took / 3 % 1000)))"
  killed=0
  for process in "$job" $(ranks_below "$job" "$gridmill"); do kill -9 "$process" 2> /dev/null && killed=1; done
  wait "$job" || true
  if ((killed == 0)); then
    echo "NOT KILLED: $model ended in less than a third of $took ms"
    exit 1
  fi
  generate out.h5 "$model" "$length"
  if ! cmp out.h5 "expected-$model.h5"; then
    echo "DIFFERS: $model"
    exit 1
  fi
  rm out.h5*
  echo "$model: $length tokens in $took ms, $short KiB for 1,000 tokens, $long KiB for all; stopped, killed, resumed: equal"
done
