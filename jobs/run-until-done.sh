#!/usr/bin/env bash
# Runs a gridmill job until all its rows are done, without a scheduler: starts it again when it stopped early (75) or crashed, and
# gives up when several runs in a row finished no row.
#
# usage: jobs/run-until-done.sh OUT.h5 COMMAND...
#   jobs/run-until-done.sh out.h5 mpirun -n 8 gridmill generate --config job.cfg --output out.h5
#
# Exit code: that of the last run. A code that a new run would not change (usage, bad input, ...) is final at once. SIGTERM, SIGINT
# and SIGUSR1 stop the job cleanly (mpirun forwards SIGUSR1 to its ranks) and are final too.
# Environment: GRIDMILL (gridmill; the program that counts the rows), FRUITLESS_RUNS (3: give up after so many runs without
# progress), PAUSE_S (3: between two runs).
set -uo pipefail

if [[ $# -lt 2 || $1 == -* ]]; then
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 64
fi
output=$1
shift
gridmill=${GRIDMILL:-gridmill}
fruitless_runs=${FRUITLESS_RUNS:-3}
say() { echo "run-until-done.sh: $*" >&2; }

# Progress in the file: rows done and failed, and tokens of partial rows.
progress() {
  [[ ! -e $output ]] || "$gridmill" status "$output" --json 2> /dev/null
}
# Whether the file says that rows remain, or is not there yet.
rows_remain() {
  [[ -e $output ]] || return 0
  "$gridmill" status "$output" > /dev/null 2>&1
  [[ $? -eq 75 ]]
}

mapped_files() { grep -ho '/dev/shm/[^ ]*' /proc/[0-9]*/maps 2> /dev/null; }
# A killed mpirun leaves its shared memory files in /dev/shm. They are ours to remove if this user owns them and no process has
# them open or mapped. They are listed first, and maps are read on both sides of open files, so that a job that starts meanwhile
# keeps its own.
clean_shared_memory() {
  local file files=() used
  for file in /dev/shm/vader_segment.* /dev/shm/osc_rdma.* /dev/shm/sm_segment.*; do
    [[ -f $file && -O $file ]] && files+=("$file")
  done
  [[ ${#files[@]} -gt 0 ]] || return 0
  used=$(mapped_files
         find /proc/[0-9]*/fd -lname '/dev/shm/*' -printf '%l\n' 2> /dev/null
         mapped_files)
  for file in "${files[@]}"; do
    grep -qxF -- "$file" <<< "$used" || rm -f -- "$file"
  done
}

stopped=false
job=''
stop() {
  stopped=true
  [[ -z $job ]] || kill -USR1 "$job" 2> /dev/null
}
trap stop TERM INT USR1

fruitless=0
before=$(progress)
for ((run = 1; ; ++run)); do
  "$@" &
  job=$!
  $stopped && kill -USR1 "$job" 2> /dev/null
  wait "$job"
  code=$?
  while kill -0 "$job" 2> /dev/null; do  # a trap ended the wait
    wait "$job"
    code=$?
  done
  job=''
  # Done, or a new run would change nothing. mpirun has codes of its own for a host that it lost, also 1.
  case $code in
    0 | 6[4-9] | 70 | 73 | 74 | 126 | 127) exit "$code" ;;
    75 | 71) ;;
    *) rows_remain || exit "$code" ;;
  esac
  if $stopped; then exit "$code"; fi
  after=$(progress)
  if [[ $after == "$before" ]]; then
    fruitless=$((fruitless + 1))
    if [[ $fruitless -ge $fruitless_runs ]]; then
      say "run $run left with $code; gives up after $fruitless runs without progress"
      exit "$code"
    fi
  else
    fruitless=0
  fi
  before=$after
  say "run $run left with $code: starts again"
  sleep "${PAUSE_S:-3}"  # the ranks of a killed mpirun live a second longer, and hold the output and their memory
  clean_shared_memory
  if $stopped; then exit "$code"; fi
done
