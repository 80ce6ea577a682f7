#!/usr/bin/env bash
# The grid matrix on a device that ranks share: every grid of 1, 2 and 4 ranks, both gather modes, both families, must write
# the bytes of one rank with the same backend. Then a run that is killed on the way and resumed on another grid, for every
# family, and a result file of other numerics, which must be refused. Knows nothing of the backend: options choose it.
# With GATHER_SHAPE, the speed of one rank with parameters gathered once and a layer at a time, in turns.
#
# usage: bash tests/gpu/grid.sh [FOLDER]
#   FOLDER  from tests/gpu/carry_programs.sh: programs, their libraries and Open MPI, for a machine that has none of them.
#           Without: those of a build, and the system's mpirun.
# Environment:
#   LAUNCH                 a build folder's tests/launch (without: Open MPI's mpirun)
#   GRIDMILL, MAKE_MODELS  programs (those of FOLDER, else of build/release)
#   BACKEND_OPTIONS        what is tested (--backend cuda --share-gpu)
#   OTHER_OPTIONS          other numerics than those and bf16: its file has to be refused (--backend cpu --compute-dtype bf16)
#   CASES                  compute dtypes and samplings of the matrix (bf16:sampled fp32:greedy)
#   RANKS                  rank counts (1 2 4)
#   EVERY                  take each EVERY-th run of the matrix only (1)
#   MATRIX_SAMPLES         samples of a prompt in the matrix (2)
#   SAMPLES                samples of a prompt in the run that is killed (40); ten times as many if it ends too soon
#   RUN_TIMEOUT            seconds a run may take (120)
#   GATHER_SHAPE           shape of `gridmill bench`, e.g. llama-1b
#   OUT                    folder for grid.jsonl: the counts, and the speeds
# Exit status: 0 if every file has the expected bytes, every kill hit and every refusal came; the last line counts.
set -euo pipefail

die() { echo "grid.sh: $*" >&2; exit 69; }
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/support/grids.sh"
. "$root/tests/support/ranks.sh"
if [[ $# -gt 0 ]]; then
  carried=$(cd "$1" && pwd)
  # shellcheck source=/dev/null
  . "$carried/environment.sh"
fi
gridmill=${GRIDMILL:-${carried:-$root/build/release/src}${carried:+/bin}/gridmill}
make_models=${MAKE_MODELS:-${carried:-$root/build/release/tests/property}${carried:+/bin}/make_models}
for program in "$gridmill" "$make_models"; do [[ -x $program ]] || die "there is no program $program"; done
# Open MPI's mpirun, or the launcher of a build folder (tests/launch).
if [[ -n ${LAUNCH:-} ]]; then
  launch=("$LAUNCH")
else
  [[ -n $(command -v mpirun) ]] || die "mpirun is missing: give a folder from tests/gpu/carry_programs.sh"
  launch=(mpirun --oversubscribe --bind-to none --mca mpi_yield_when_idle 1)
fi
read -ra backend <<< "${BACKEND_OPTIONS:---backend cuda --share-gpu}"
read -ra other <<< "${OTHER_OPTIONS:---backend cpu --compute-dtype bf16}"
read -ra cases <<< "${CASES:-bf16:sampled fp32:greedy}"
read -ra rank_counts <<< "${RANKS:-1 2 4}"
samples=${SAMPLES:-40}
every=${EVERY:-1}
matrix_samples=${MATRIX_SAMPLES:-2}
run_timeout=${RUN_TIMEOUT:-120}
[[ -z ${OUT:-} ]] || { mkdir -p "$OUT" && out=$(cd "$OUT" && pwd); }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$make_models" "$folder"
cd "$folder"
echo "$("$gridmill" --version | head -n 1), ${backend[*]}"

failures=()
fail() { failures+=("$*"); echo "FAILED: $*"; }

# Takes the place of the shell that calls it, so that the shell's id is the launcher's.
generate() { # OUTPUT GRID MODEL DTYPE|- SAMPLING SAMPLES OPTION...
  local output=$1 dp fsdp tp options
  read -r dp fsdp tp <<< "$2"
  options=(--model "$3.h5" --prompts prompts.h5 --output "$output" --samples-per-prompt "$6" --dp "$dp" --fsdp "$fsdp"
    --tp "$tp" --max-length 90 --fsdp-min-weight-size 0 --progress none --log-level error)
  [[ $4 == - ]] || options+=(--compute-dtype "$4")
  if [[ $5 == greedy ]]; then options+=(--temperature 0); else options+=(--temperature 0.9 --seed 11 --logprobs); fi
  shift 6
  exec timeout --foreground "$run_timeout" "${launch[@]}" -n $((dp * fsdp * tp)) \
    "$gridmill" generate "${options[@]}" "$@"
}

# Rows of a result file that are done and that remain: "12 868", or nothing before there is a file.
progress_of() { # FILE
  "$gridmill" status "$1" --json 2> /dev/null |
    sed -nE 's/.*"rows": ?([0-9]+).*"done": ?([0-9]+).*/\2 \1/p' || true
}

mapfile -t grids < <(list_grids "${rank_counts[@]}")

runs=0 number=0
matrix() { # MODEL DTYPE SAMPLING
  local expected=expected-$1-$2-$3.h5 grid fsdp once modes slots=(3 1 64)
  (generate "$expected" "1 1 1" "$1" "$2" "$3" "$matrix_samples" "${backend[@]}" --slots 2 --threads 1) || { fail "$1 $2 $3 on one rank"; return; }
  for grid in "${grids[@]}"; do
    read -r _ fsdp _ <<< "$grid"
    modes=(false)
    ((fsdp > 1)) && modes=(false true)
    for once in "${modes[@]}"; do
      number=$((number + 1))
      ((number % every == 0)) || continue
      rm -f out.h5*
      if ! (generate out.h5 "$grid" "$1" "$2" "$3" "$matrix_samples" "${backend[@]}" --gather-params-once="$once" --threads 1 \
        --slots "${slots[runs % 3]}") || ! cmp out.h5 "$expected"; then
        fail "$1 $2 $3, dp fsdp tp $grid, gather once $once, ${slots[runs % 3]} slots"
      fi
      runs=$((runs + 1))
    done
  done
  echo "$1 $2 $3: $runs runs so far, ${#failures[@]} failures ($SECONDS s)"
}

kills=0
kill_and_resume() { # MODEL DTYPE SAMPLING GRID GRID
  local expected=expected-killed-$1.h5 count=$samples job done_rows rows hit
  for _ in 1 2 3; do
    rm -f killed.h5* "$expected"*
    (generate "$expected" "1 1 1" "$1" "$2" "$3" "$count" "${backend[@]}" --threads 1) || { fail "$1 on one rank"; return; }
    (generate killed.h5 "$4" "$1" "$2" "$3" "$count" "${backend[@]}" --slots 3 --threads 1 --commit-interval 50ms) > /dev/null 2>&1 &
    job=$!
    hit=
    while kill -0 "$job" 2> /dev/null; do
      read -r done_rows rows <<< "$(progress_of killed.h5)" || true
      if [[ ${done_rows:-0} -gt 0 && ${done_rows:-0} -lt ${rows:-0} ]]; then
        read -r hit _ <<< "$(ranks_below "$job" "$gridmill" | xargs)"
        [[ -z $hit ]] || kill -9 "$hit" 2> /dev/null || hit=
        break
      fi
      sleep 0.02
    done
    wait "$job" && hit=
    read -r done_rows rows <<< "$(progress_of killed.h5)" || true
    [[ -n $hit && ${done_rows:-0} -lt ${rows:-0} ]] && break
    hit=
    echo "$1: the run of $count samples ended before the kill"
    count=$((10 * count))
  done
  [[ -n $hit ]] || { fail "$1: no run could be killed on the way"; return; }
  kills=$((kills + 1))
  echo "$1: killed with $done_rows of $rows rows done on grid $4, resumed on $5"
  if ! (generate killed.h5 "$5" "$1" "$2" "$3" "$count" "${backend[@]}" --resume require --threads 1) || ! cmp killed.h5 "$expected"; then
    fail "$1, killed on grid $4 and resumed on $5"
  fi
}

refusals=0
refuse() { # MODEL
  local status=0
  rm -f refused.h5*
  (generate refused.h5 "1 1 1" "$1" - greedy 1 "${other[@]}" --threads 1) || { fail "$1 with ${other[*]}"; return; }
  cp refused.h5 before.h5
  (generate refused.h5 "1 1 1" "$1" bf16 greedy 1 "${backend[@]}" --threads 1 --resume require) > refused.log 2>&1 || status=$?
  # The message names both numerics, and the file stays as it was.
  if [[ $status == 73 ]] && grep -q numerics refused.log && cmp refused.h5 before.h5; then
    refusals=$((refusals + 1))
    grep -m 1 numerics refused.log
  else
    fail "$1 of other numerics was not refused with 73 (but $status): $(cat refused.log)"
  fi
}

for model in llama8 xlstm8; do
  for entry in "${cases[@]}"; do matrix "$model" "${entry%:*}" "${entry#*:}"; done
done
most=$(printf '%s\n' "${rank_counts[@]}" | sort -n | tail -n 1)
kill_and_resume llama8 bf16 sampled "1 $most 1" "1 1 $((most > 1 ? 2 : 1))"
kill_and_resume xlstm8 bf16 sampled "1 1 $most" "$((most > 1 ? 2 : 1)) 1 1"
for model in llama8 xlstm8; do refuse "$model"; done

gather_speeds() { # SHAPE
  local turn once numbers once_tps=() layer_tps=()
  "$gridmill" bench --shape "$1" --model big.h5 --batch 1 --prompt 1 --gen 2 --repeat 1 --backend cpu > /dev/null
  for turn in 0 1 2 3; do
    for once in true false; do
      rm -f speed.h5* speed.jsonl
      (generate speed.h5 "1 1 1" big bf16 greedy 12 "${backend[@]}" --gather-params-once="$once" --slots 64 \
        --eod-token-id=-1 --metrics speed.jsonl) || { fail "$1 on one rank, gather once $once"; return; }
      numbers=$(tail -n 1 speed.jsonl | sed -nE 's/.*"new_tokens": ?([0-9]+).*"compute_s": ?\{"min": ?([0-9.eE+-]+).*/\1 \2/p' |
        awk '$2 > 0 {printf "%.1f", $1 / $2}')
      [[ -n $numbers ]] || { fail "speed.jsonl has no speed: $(tail -n 1 speed.jsonl)"; return; }
      # The first turn warms up.
      ((turn > 0)) || continue
      if [[ $once == true ]]; then once_tps+=("$numbers"); else layer_tps+=("$numbers"); fi
    done
  done
  echo "$1, one rank: gathered once ${once_tps[*]} tokens/s, a layer at a time ${layer_tps[*]} ($SECONDS s)"
  [[ -z ${out:-} ]] || printf '{"record": "gather", "backend": "%s", "shape": "%s", "once_tps": [%s], "per_layer_tps": [%s]}\n' \
    "${backend[*]}" "$1" "$(IFS=,; echo "${once_tps[*]}")" "$(IFS=,; echo "${layer_tps[*]}")" >> "$out/grid.jsonl"
}
[[ -z ${out:-} ]] || rm -f "$out/grid.jsonl"
[[ -z ${GATHER_SHAPE:-} ]] || gather_speeds "$GATHER_SHAPE"

line="$runs runs on ${#grids[@]} grids, $kills killed and resumed, $refusals of other numerics refused, ${#failures[@]} failed, $SECONDS s"
[[ -z ${out:-} ]] || printf '{"record": "grid", "backend": "%s", "runs": %d, "killed": %d, "refused": %d, "failed": %d, "seconds": %d, "version": "%s"}\n' \
  "${backend[*]}" "$runs" "$kills" "$refusals" "${#failures[@]}" "$SECONDS" "$("$gridmill" --version | head -n 1)" >> "$out/grid.jsonl"
echo "$line"
((${#failures[@]} == 0))
