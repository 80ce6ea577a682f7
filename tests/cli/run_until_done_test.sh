#!/usr/bin/env bash
# Holds jobs/run-until-done.sh to what it says: jobs that are killed, that get nowhere, that must not run again, that are stopped.
#
# usage: run_until_done_test.sh <source folder> <gridmill program> <launcher: build folder's tests/launch>
set -euo pipefail
source_dir=$1
export GRIDMILL=$2
. "$source_dir/tests/support/ranks.sh"
script=$source_dir/jobs/run-until-done.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }

"$GRIDMILL" convert "$source_dir/models/stories260K/stories260K.bin" model.h5 \
  --tokenizer "$source_dir/models/stories260K/tok512.bin" > /dev/null 2>&1
printf 'Once upon a time\nThe cat\n' > prompts.txt
job=(generate --model model.h5 --prompts prompts.txt --samples-per-prompt 60 --max-length 200 --threads 1 --progress none
     --commit-interval 100ms)
launch=("$3" -n 2 "$GRIDMILL" "${job[@]}")
"$GRIDMILL" "${job[@]}" --output expected.h5 2> /dev/null
rows_done() { { "$GRIDMILL" status "$1" --json || true; } 2> /dev/null | grep -o '"done":[0-9]*' | tr -dc 0-9 || true; }
wait_for_rows() {
  for _ in $(seq 600); do
    [[ $(rows_done "$1") -gt 2 ]] && return
    sleep 0.1
  done
  fail "no rows in $1"
}

echo "a killed launcher: starts again, ends with the same file, and nothing of it stays in /dev/shm"
"$script" killed.h5 "${launch[@]}" --slots 1 --output killed.h5 2> killed.log &
loop=$!
wait_for_rows killed.h5
launcher=$(pgrep -P "$loop" -x 'mpi.*|prte.*')
ranks=$(ranks_below "$launcher" "$GRIDMILL")
segments=$(for rank in $ranks; do grep -o '/dev/shm/[^ ]*' "/proc/$rank/maps" || true; done | sort -u)
kill -9 "$launcher"
wait "$loop" || { cat killed.log; fail "exit code $?"; }
cmp killed.h5 expected.h5 || fail "another file"
[[ $(wc -l < killed.h5.runs.jsonl) -ge 2 ]] || fail "the job was over before the kill"
[[ -n $segments ]] || fail "no shared memory to look at"
for segment in $segments; do [[ ! -e $segment ]] || fail "$segment is left"; done

echo "no progress: gives up after as many runs as it says"
code=0
PAUSE_S=0 FRUITLESS_RUNS=2 "$script" none.h5 bash -c 'echo run >> runs; exit 75' 2> none.log || code=$?
[[ $code -eq 75 && $(wc -l < runs) -eq 2 ]] || fail "code $code, $(wc -l < runs) runs"
grep -q 'gives up after 2 runs without progress' none.log || fail "does not say so"

echo "usage and other final codes: one run"
for final in 0 64 65 66 69 70 73 74; do
  rm -f runs
  code=0
  "$script" none.h5 bash -c "echo run >> runs; exit $final" || code=$?
  [[ $code -eq $final && $(wc -l < runs) -eq 1 ]] || fail "code $code instead of $final, $(wc -l < runs) runs"
done

echo "SIGTERM to the script: the job stops cleanly, the loop ends"
"$script" stopped.h5 "${launch[@]}" --slots 1 --output stopped.h5 2> stopped.log &
loop=$!
wait_for_rows stopped.h5
kill -TERM "$loop"
code=0
wait "$loop" || code=$?
[[ $code -eq 75 ]] || { cat stopped.log; fail "code $code, expected 75"; }
[[ $(wc -l < stopped.h5.runs.jsonl) -eq 1 ]] || fail "another run was started"
