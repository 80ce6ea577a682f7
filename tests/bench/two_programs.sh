#!/usr/bin/env bash
# Two builds of gridmill beside each other, in turns, so that what else the machine does hits both: the time to start on one rank
# and on several, the time of a pass, and the time of commits. Prints the median of each and the ratio new / old.
#
# usage: two_programs.sh OLD_PROGRAM NEW_PROGRAM [ROUNDS, default 9]
# Environment: RANKS (2). Needs Open MPI's mpirun.
set -euo pipefail
old=$(realpath "$1") new=$(realpath "$2") rounds=${3:-9} ranks=${RANKS:-2}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$new" convert "$source_dir/models/stories260K/stories260K.bin" model.h5 --tokenizer "$source_dir/models/stories260K/tok512.bin" > log 2>&1
printf 'Once upon a time\n' > one.txt
for i in $(seq 200); do echo "Story $i"; done > many.txt
common=(--model model.h5 --threads 1 --progress none --log-level error --eod-token-id=-1)
# NAME and a command with PROGRAM for the build; each is one time.
start() { "$1" generate "${common[@]}" --prompts one.txt --output out.h5 --max-length 6; }
start_ranks() {
  mpirun -n "$ranks" --oversubscribe --bind-to none "$1" generate "${common[@]}" --prompts one.txt --output out.h5 --max-length 6
}
passes() { "$1" generate "${common[@]}" --prompts one.txt --output out.h5 --samples-per-prompt 16 --max-length 500; }
commits() { "$1" generate "${common[@]}" --prompts many.txt --output out.h5 --samples-per-prompt 40 --max-length 10 --commit-interval 50ms; }

time_of() { # MEASURE PROGRAM
  rm -f out.h5 out.h5.*
  local begin end
  begin=$(date +%s%N)
  "$1" "$2" > log 2>&1 || { cat log >&2; exit 1; }
  end=$(date +%s%N)
  echo $(((end - begin) / 1000))
}
median() { sort -n | awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'; }

printf '%-14s %12s %12s %8s\n' measure 'old (ms)' 'new (ms)' ratio
for measure in start start_ranks passes commits; do
  : > old.times
  : > new.times
  for round in $(seq "$rounds"); do
    # Who goes first changes: the second one finds files in memory.
    if [[ $((round % 2)) -eq 0 ]]; then
      time_of $measure "$old" >> old.times
      time_of $measure "$new" >> new.times
    else
      time_of $measure "$new" >> new.times
      time_of $measure "$old" >> old.times
    fi
  done
  awk -v name=$measure -v old="$(median < old.times)" -v new="$(median < new.times)" \
    'BEGIN {printf "%-14s %12.1f %12.1f %8.3f\n", name, old / 1000, new / 1000, new / old}'
done
