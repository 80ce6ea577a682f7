#!/usr/bin/env bash
# Runs a job of 8 ranks again and again while another user of this host tries what stranger.cpp tries, and compares its file
# with that of an undisturbed run. Needs root, who can become another user; skipped without.
#
# usage: job_test.sh <gridmill program> <stranger program> <seconds>
set -euo pipefail
gridmill=$(realpath "$1") stranger=$(realpath "$2") seconds=$3
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
if [[ $(id -u) -ne 0 ]]; then
  echo "SKIPPED: needs root, who can become another user"
  exit 77
fi
source_dir=$(cd "$(dirname "$0")/../.." && pwd)

# Where temporary files lie that another user reaches: TMPDIR may be in a folder that only its owner may enter.
open_to_others() { # FOLDER
  local folder
  folder=$(realpath "$1") || return
  while [[ $(stat -c %A "$folder") == *[xt] ]]; do
    [[ $folder != / ]] || return 0
    folder=$(dirname "$folder")
  done
  return 1
}
for place in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm; do
  if open_to_others "$place"; then break; fi
done
work=$(mktemp -d -p "$place")
trap 'rm -rf "$work"' EXIT
cp "$stranger" "$work/stranger"
cd "$work"
fail() { echo "FAILED: $*"; exit 1; }

trap 'echo "FAILED: line $LINENO"' ERR
"$gridmill" convert "$source_dir/models/stories260K/stories260K.bin" model.h5 \
  --tokenizer "$source_dir/models/stories260K/tok512.bin" > convert.log 2>&1
printf 'Once upon a time\nThe cat\n' > prompts.txt
job() { # OUTPUT
  mpirun -n 8 --oversubscribe --bind-to none "$gridmill" generate --model model.h5 --prompts prompts.txt --samples-per-prompt 40 \
    --fsdp 4 --gather-params-once --max-length 200 --threads 1 --progress none --output "$1"
}
job expected.h5 2> expected.log || { cat expected.log; fail "the undisturbed job ended with $?"; }

# Where everybody may write, as in /tmp; a file of the user elsewhere.
mkdir --mode=1777 shared
chmod 755 .
echo mine > precious
./stranger 65534 "$seconds" unix "$work/shared" "$work/precious" > stranger.log &
pid=$!
jobs=0
while kill -0 "$pid" 2> /dev/null; do
  rm -f shared/out.h5 shared/out.h5.lock shared/out.h5.runs.jsonl
  code=0
  job shared/out.h5 2> job.log || code=$?
  [[ $code -eq 0 ]] || { cat job.log; fail "a job ended with $code"; }
  cmp shared/out.h5 expected.h5 || fail "a job wrote other bytes"
  ! grep 'no side channel' job.log || fail "a job had no side channel"
  jobs=$((jobs + 1))
done
code=0
wait "$pid" || code=$?
cat stranger.log
[[ $code -eq 0 ]] || fail "the stranger got something ($code)"
grep -q 'made [1-9]' stranger.log || fail "the stranger met no socket"
grep -q 'tried [1-9]' stranger.log || fail "the stranger met no file"
[[ $(cat precious) == mine ]] || fail "something was written through a link of the stranger"
echo "$jobs jobs of 8 ranks wrote the bytes of an undisturbed one"
