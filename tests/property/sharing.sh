#!/usr/bin/env bash
# What rows share does not show: a job whose prompts begin alike, with several samples of each, writes the bytes that it
# writes with `--prefix-memory 0`, with every limit of that memory, on every grid here, and killed and resumed. The metrics
# say that something was shared, and that each replica computed the common start once.
#
# usage: bash tests/property/sharing.sh BUILD_DIR
# Environment: EVERY (1): only every so many pairs of grid and options
set -euo pipefail
cd "$(dirname "$0")/../.."
build_dir=$(cd "$1" && pwd)
gridmill=$build_dir/src/gridmill
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$build_dir/tests/property/make_models" "$folder"
cd "$folder"

# alike.h5: 9 prompts of 41 to 49 tokens with 40 in common; `samples` each.
samples=4
generate() { # OUTPUT GRID MODEL OPTION...
  local output=$1 model=$3 dp fsdp tp
  read -r dp fsdp tp <<< "$2"
  shift 3
  rm -f "$output.metrics"
  "$build_dir/tests/launch" -n $((dp * fsdp * tp)) "$gridmill" generate --model "$model.h5" --prompts alike.h5 \
    --output "$output" --dp "$dp" --fsdp "$fsdp" --tp "$tp" --max-length 90 --samples-per-prompt "$samples" --temperature 0.9 --seed 3 \
    --logprobs --top-logprobs 2 --fsdp-min-weight-size 0 --threads 1 --progress none --log-level error \
    --metrics "$output.metrics" "$@"
}
metric() { # NAME OUTPUT
  grep -o "\"$1\":[0-9]*" "$2.metrics" | tail -1 | cut -d: -f2
}
check() { # NAME OUTPUT MODEL
  cmp -s "$2" "expected-$3.h5" && return
  echo "sharing.sh: $1: the result file differs from that of rows that share nothing" >&2
  exit 1
}

runs=0 pair=0 every=${EVERY:-1}
for model in llama8 xlstm8; do
  generate "expected-$model.h5" "1 1 1" $model --backend reference --slots 3 --prefix-memory 0
  [[ $(metric shared_prompt_tokens "expected-$model.h5") == 0 ]]
  for grid in "1 1 1" "2 1 1" "1 1 2" "1 2 1" "2 1 2"; do
    for options in "--slots 36" "--slots 1" "--slots 5 --prefix-memory 100K" "--slots 4 --prefix-memory 1" "--slots 6 --prefix-memory 0"; do
      ((pair++ % every == 0)) || continue
      rm -f out.h5*
      # shellcheck disable=SC2086
      generate out.h5 "$grid" $model $options
      check "$model on $grid with $options" out.h5 $model
      runs=$((runs + 1))
      shared=$(metric shared_prompt_tokens out.h5)
      [[ $options == *"memory 0" ]] && { ((shared == 0)) || { echo "sharing.sh: off, but $shared tokens were shared" >&2; exit 1; }; }
      [[ $options == *"memory 0" || $options == *"memory 1" ]] || ((shared > 0)) || { echo "sharing.sh: $model on $grid with $options: nothing was shared" >&2; exit 1; }
      if [[ $options == "--slots 36" ]]; then
        # Each replica computes the common start once; what rows of a prompt have in common behind it is shorter than what is shared.
        read -r dp fsdp _ <<< "$grid"
        most=$((dp * fsdp * (40 + 16) + 36 * 16))
        computed=$(metric prompt_tokens out.h5)
        ((computed <= most)) || { echo "sharing.sh: $model on $grid: $computed prompt tokens were computed, at most $most expected" >&2; exit 1; }
      fi
    done
  done
  # Stopped by the time limit again and again, with rows in flight that resume. The job is longer than the process needs to
  # see that its time is over.
  rm -f out.h5*
  samples=200 stops=0
  generate "expected-$model-long.h5" "1 1 1" $model --slots 3 --prefix-memory 0
  until generate out.h5 "2 1 1" $model --slots 4 --time-limit $((40 + 20 * stops))ms; do
    code=$?
    ((code == 75)) || { echo "sharing.sh: a stopped run ended with $code" >&2; exit 1; }
    ((++stops < 200)) || { echo "sharing.sh: no end after $stops stops" >&2; exit 1; }
  done
  ((stops > 0)) || { echo "sharing.sh: $model was never stopped" >&2; exit 1; }
  echo "$model: stopped $stops times"
  check "$model, stopped $stops times" out.h5 "$model-long"
  samples=4
done
echo "$runs runs wrote the bytes of rows that share nothing"
