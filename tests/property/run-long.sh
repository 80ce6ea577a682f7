#!/usr/bin/env bash
# The whole grid matrix: every grid of 1, 2, 4 and 8 ranks with tp up to 8, both gather modes, six models with 8 heads
# (attention, mLSTM, Mamba-2, gated delta net with windows, all side by side, a head with a bias), compute dtypes fp32 and bf16, the first two also int8 with weights of 8 and 4 bits, greedy and sampled with log-probabilities, must write the bytes of one rank with the reference
# backend. Slots (1, 3, 64), threads (1, 2) and the cpu backend's targets rotate from run to run; every third run is killed
# on the way and resumed on the grid of the run before. Finds what `run.sh` would need too long for.
#
# usage: bash tests/property/run-long.sh [BUILD_DIR]      (build/release)
# Environment: EVERY (1): take each EVERY-th run only.
# Exit status: 0 if every file has the expected bytes; the last line counts.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/support/grids.sh
. tests/support/ranks.sh
build_dir=$(cd "${1:-build/release}" && pwd)
gridmill=$build_dir/src/gridmill
make_models=$build_dir/tests/property/make_models
every=${EVERY:-1}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$make_models" "$folder"
cd "$folder"

targets=(avx2)
grep -q avx512bw /proc/cpuinfo && targets+=(avx512)
grep -q avx512_bf16 /proc/cpuinfo && targets+=(avx512bf16)
echo "targets: reference ${targets[*]}"

launch() { # RANKS COMMAND...
  local ranks=$1
  shift
  "$build_dir/tests/launch" -n "$ranks" "$@"
}
generate() { # OUTPUT GRID MODEL DTYPE SAMPLING OPTION...
  local output=$1 dp fsdp tp options model=$3 compute=$4
  read -r dp fsdp tp <<< "$2"
  [[ $4 == int* ]] && model=$3-$4 compute=int8
  options=(--model "$model.h5" --prompts prompts.h5 --output "$output" --compute-dtype "$compute" --dp "$dp" --fsdp "$fsdp" --tp "$tp"
    --max-length 90 --samples-per-prompt 2 --fsdp-min-weight-size 0 --progress none --log-level error)
  if [[ $5 == greedy ]]; then options+=(--temperature 0); else options+=(--temperature 0.9 --seed 11 --logprobs); fi
  shift 5
  launch $((dp * fsdp * tp)) "$gridmill" generate "${options[@]}" "$@"
}

mapfile -t grids < <(list_grids 1 2 4 8)

runs=0 killed=0 failed=0 number=0
previous="1 1 1"
for model in llama8 xlstm8 mamba8 delta8 beside8 bias8; do
  dtypes=(fp32 bf16)
  [[ $model == llama8 || $model == xlstm8 ]] && dtypes+=(int8 int4)
  for dtype in "${dtypes[@]}"; do
    for sampling in greedy sampled; do
      expected=expected-$model-$dtype-$sampling.h5
      generate "$expected" "1 1 1" "$model" "$dtype" "$sampling" --backend reference --slots 2 --threads 1
      for grid in "${grids[@]}"; do
        read -r _ fsdp _ <<< "$grid"
        modes=(false)
        ((fsdp > 1)) && modes=(false true)
        for once in "${modes[@]}"; do
          number=$((number + 1))
          ((number % every == 0)) || continue
          runs=$((runs + 1))
          slots=(1 3 64)
          variant=(--gather-params-once="$once" --slots "${slots[runs % 3]}" --threads $((1 + runs / 3 % 2)))
          target=$((runs % (${#targets[@]} + 1)))
          if ((target == ${#targets[@]})); then
            variant+=(--backend reference)
          else
            variant+=(--backend cpu --kernel-target "${targets[target]}")
          fi
          rm -f out.h5*
          if ((runs % 3 == 0)); then
            generate out.h5 "$previous" "$model" "$dtype" "$sampling" --slots 3 --threads 1 --commit-interval 50ms > /dev/null 2>&1 &
            job=$!
            sleep "0.$((3 + runs % 5))"
            for rank in $(ranks_below "$job" "$gridmill"); do kill -9 "$rank" 2> /dev/null && killed=$((killed + 1)) && break; done
            wait "$job" || true
          fi
          if ! generate out.h5 "$grid" "$model" "$dtype" "$sampling" "${variant[@]}" || ! cmp out.h5 "$expected"; then
            failed=$((failed + 1))
            echo "DIFFERS: $model $dtype $sampling grid $grid ${variant[*]}"
          fi
          previous=$grid
        done
      done
      echo "$model $dtype $sampling: $runs runs so far, $failed failed"
    done
  done
done
echo "$runs runs on ${#grids[@]} grids, $killed killed and resumed, $failed failed"
((failed == 0))
