#!/usr/bin/env bash
# Jobs on a real Slurm of pretended nodes (testbed.sh): nodes crash, networks are cut, time runs out, users and the scheduler
# interfere. Every job must end with a file that equals the one of a run that nothing happened to.
#
# usage: tests/slurm/run.sh [--short] [SCENARIO...]    default: all scenarios; --short: those of CI
#
# Needs root, slurm-wlm and munge (jobs/install-packages.sh --developer), and a built program. Fails, never skips.
# Environment: GRIDMILL (build/release/src/gridmill), WORK (a folder to make and to keep; default: one that is removed on success),
# JOB_SECONDS (25, with --short 12: about how long the undisturbed job takes). A disturbance that comes when the job is over already
# is tried again with a job four times as long, and fails the third time.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
root=$PWD
export GRIDMILL=${GRIDMILL:-$root/build/release/src/gridmill}

all=(srun mpirun array array-parts signal signal-mpirun time-limit time-limit-mpirun scancel scancel-mpirun requeue requeue-mpirun preemption
     rank-killed rank-killed-mpirun node-crash first-node-crash node-crash-mpirun unplug unplug-mpirun no-mpi-plugin chat)
short=(no-mpi-plugin chat signal signal-mpirun scancel rank-killed)
scenarios=()
for argument in "$@"; do
  case $argument in
    --short) scenarios+=("${short[@]}"); JOB_SECONDS=${JOB_SECONDS:-12} ;;
    -*) echo "run.sh: unknown option $argument" >&2; exit 64 ;;
    *) scenarios+=("$argument") ;;
  esac
done
[[ ${#scenarios[@]} -gt 0 ]] || scenarios=("${all[@]}")

fail() { echo "FAILED: $*" >&2; exit 1; }
readonly missed_code=2
missed() { echo "  missed: $*"; exit "$missed_code"; }
[[ $(id -u) -eq 0 ]] || fail "needs root"
for tool in slurmctld munged python3 mpirun; do
  PATH=$PATH:/usr/sbin command -v "$tool" > /dev/null || fail "$tool is missing; run jobs/install-packages.sh --developer"
done
[[ -x $GRIDMILL ]] || fail "no program $GRIDMILL; build it first"

# sbatch does not look for directives behind the first command.
for script in slurm/*.sbatch; do
  awk '/^#SBATCH/ && command { exit 1 } /^[^#]/ { command = 1 }' "$script" || fail "$script: #SBATCH behind a command"
done

keep=${WORK:-}
work=${WORK:-$(mktemp -d /tmp/gridmill-slurm.XXXXXX)}
mkdir -p "$work" && cd "$work" || exit
testbed() { "$root/tests/slurm/testbed.sh" -d "$work/testbed" "$@"; }
trap 'testbed down > /dev/null' EXIT
testbed up -n 3 -c 2 > /dev/null || fail "the test bed did not start"
eval "$(testbed env)"

json() { python3 -c "import json,sys; print($1)"; }

# --- the job, and what it must make ---------------------------------------------------------------------------------------
"$GRIDMILL" convert "$root/models/stories260K/stories260K.bin" model.h5 --tokenizer "$root/models/stories260K/tok512.bin" \
  > /dev/null 2>&1 || fail "convert"
printf 'Once upon a time\nTim had a red ball. He\nThe cat\n\nLily and Ben went\n' > prompts.txt
# Samples a prompt, output: without Slurm. Few slots: rows are finished one by one, not all at once.
plain_run() {
  cat > job.cfg << CONFIG
model = model.h5
prompts = prompts.txt
gather-params-once = true
max-length = 256
temperature = 0.9
threads = 1
slots = 8
samples-per-prompt = $1
commit-interval = 200ms
progress = plain
CONFIG
  mpirun -n 4 --oversubscribe --bind-to none "$GRIDMILL" generate --config job.cfg --output "$2" --metrics "$2.metrics" \
    > plain.log 2>&1 || { cat plain.log; fail "the undisturbed run"; }
}
rows=0
expected=''
make_job() { # samples a prompt
  rows=$(($1 * 5))
  expected=expected-$rows.h5
  echo "a job of $rows rows"
  plain_run "$1" "$expected"  # if it is there: writes job.cfg, finds nothing to do
}
plain_run 100 trial.h5
rate=$(tail -n 1 trial.h5.metrics | json 'int((lambda r: r["rows_done"] / r["generate_s"]["max"])(json.load(sys.stdin)))')
echo "about $rate rows a second"
usual=$((rate * ${JOB_SECONDS:-25} / 5))
[[ $usual -ge 100 ]] || usual=100
make_job "$usual"

# --- words that the scenarios are written in -----------------------------------------------------------------------------
job=0       # Slurm's number of the job at hand
out=''      # its result file
seen=0      # rows that were done before it was disturbed
rows_done() { # 75 is how status says that rows remain
  { "$GRIDMILL" status "$1" --json || true; } 2> /dev/null | json 'json.load(sys.stdin)["done"]' 2> /dev/null || echo 0
}
job_field() { scontrol show job -o "$job" | tr ' ' '\n' | sed -n "s/^$1=//p" | head -n 1; }
# Field of the run log's record number $1 (from 0), an expression of `r`.
run_field() { json "(lambda r: $2)(json.loads(open('$out.runs.jsonl').read().splitlines()[$1]))"; }

submit() { # script, then further options of sbatch
  local script=$1
  shift
  job=$(sbatch --parsable --nodes=2 --ntasks-per-node=2 --cpus-per-task=1 "--output=$work/$out.log" "$@" \
          "$root/slurm/$script" --config job.cfg --output "$out") || fail "sbatch"
}
# Waits until the job has finished some of its rows, but not most.
wait_for_rows() {
  for _ in $(seq 600); do
    seen=$(rows_done "$out")
    [[ $seen -ge $((rows / 20 + 1)) ]] && break
    sleep 0.2
  done
  [[ $seen -gt 0 ]] || fail "the job does not begin"
  [[ $seen -lt $((rows / 2)) ]] || missed "$seen of $rows rows are done"
}
wait_for_state() { # regular expression, seconds
  local state=''
  for _ in $(seq $(($2 * 4))); do
    state=$(job_field JobState)
    [[ $state =~ ^($1)$ ]] && return 0
    sleep 0.25
  done
  fail "job $job is $state after $2 s, expected $1"
}
complete() {
  wait_for_state 'COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|DEADLINE' 900
  [[ $(job_field JobState) == COMPLETED ]] || fail "job $job: $(job_field JobState), $(job_field ExitCode)"
}
same_file() { cmp "$out" "$expected" || fail "$out differs from the file of the undisturbed run"; }
# The first run was ended in the middle: the second found all rows that were seen done, and had some left.
interrupted() {
  local runs found
  runs=$(wc -l < "$out.runs.jsonl")
  [[ $runs -ge 2 ]] || missed "only one run"
  found=$(run_field 1 'r["rows_found"]["done"]')
  [[ $found -lt $rows ]] || missed "the first run finished all rows"
  [[ $found -gt 0 && $found -ge $seen ]] || fail "the second run found $found rows done, $seen were seen done before"
  grep -q 'restart count 0' "${log:-$out.log}" || fail "the log of the first run is gone"
  echo "  $runs runs; $seen of $rows rows were seen done, the second run found $found"
}
left_with() { # exit code of the first run
  local code
  code=$(run_field 0 'r.get("exit_code")')
  [[ $code != 0 ]] || missed "the first run finished all rows"
  [[ $code == "$1" ]] || fail "the first run left with $code, expected $1"
}

# --- scenarios -----------------------------------------------------------------------------------------------------------
undisturbed() { submit "$1"; complete; same_file; [[ $(job_field Restarts) == 0 ]] || fail "restarted"; }
scenario_srun() { undisturbed generate.sbatch; }
scenario_mpirun() { undisturbed generate-mpirun.sbatch; }

scenario_array() {
  out=array-1.h5
  job=$(sbatch --parsable --array=1-2 --nodes=1 --ntasks-per-node=2 "--output=$work/array.log" \
          "$root/slurm/generate-array.sbatch" --config job.cfg --output array-%a.h5) || fail "sbatch"
  wait_for_rows
  scancel --signal=USR1 "${job}_1"
  for out in array-1.h5 array-2.h5; do
    for _ in $(seq 1800); do
      [[ $(rows_done "$out") -eq $rows ]] && break
      sleep 0.5
    done
    same_file
  done
  out=array-1.h5
  log=array.log
  interrupted
  left_with 75
  [[ $(wc -l < array-2.h5.runs.jsonl) -eq 1 ]] || fail "the other task was disturbed too"
}

# Parts of one job, one of them disturbed: merged they are the file of an undivided job.
scenario_array-parts() {
  job=$(sbatch --parsable --array=1-3 --nodes=1 --ntasks-per-node=2 "--output=$work/array.log" \
          "$root/slurm/generate-array.sbatch" --config job.cfg --part %a/3 --output array-%a.h5) || fail "sbatch"
  local part finished=0
  for _ in $(seq 600); do
    [[ $(rows_done array-2.h5) -gt 0 ]] && break
    sleep 0.2
  done
  scancel --signal=USR1 "${job}_2"
  for part in 1 2 3; do
    for _ in $(seq 1800); do
      "$GRIDMILL" status "array-$part.h5" > /dev/null 2>&1 && { finished=$((finished + 1)); break; }
      sleep 0.5
    done
  done
  [[ $finished -eq 3 ]] || fail "$finished of 3 parts came to their end"
  [[ $(wc -l < array-2.h5.runs.jsonl) -ge 2 ]] || missed "part 2 was over before the signal"
  out=array-merged.h5
  for _ in $(seq 60); do  # a part may be complete before its run has ended
    "$GRIDMILL" merge "$out" array-[123].h5 && break
    sleep 1
  done
  same_file
}

# A preemption signal: the job leaves with 75 and queues itself again.
signalled() {
  submit "$1"
  wait_for_rows
  scancel --signal=USR1 "${@:2}" "$job"
  complete
  interrupted
  left_with 75
  same_file
}
scenario_signal() { signalled generate.sbatch; }
scenario_signal-mpirun() { signalled generate-mpirun.sbatch --batch; }

# The signal that --signal sends before the end of the time. Slurm looks every half minute: the ranks have from 10 to 40 seconds,
# and mpirun what it needs to leave.
out_of_time() {
  submit "$1" --time=2 "--signal=$2"
  complete
  interrupted
  left_with 75
  same_file
}
scenario_time-limit() { out_of_time generate.sbatch USR1@80; }
scenario_time-limit-mpirun() { out_of_time generate-mpirun.sbatch B:USR1@80; }

# The user takes the job back; the same command later goes on.
cancelled() {
  submit "$1"
  wait_for_rows
  scancel "$job"
  wait_for_state 'CANCELLED|COMPLETED' 120
  for _ in $(seq 60); do [[ -z $(squeue -h -j "$job" 2> /dev/null) ]] && break; sleep 0.5; done
  left_with 75
  mv "$out.log" "$out.first.log"
  submit "$1"
  complete
  log=$out.first.log interrupted
  same_file
}
scenario_scancel() { cancelled generate.sbatch; }
scenario_scancel-mpirun() { cancelled generate-mpirun.sbatch; }

requeued() {
  submit "$1"
  wait_for_rows
  scontrol requeue "$job"
  complete
  interrupted
  left_with 75
  same_file
}
scenario_requeue() { requeued generate.sbatch; }
scenario_requeue-mpirun() { requeued generate-mpirun.sbatch; }

# A job of a partition of higher priority takes the nodes away for a while.
scenario_preemption() {
  submit generate.sbatch
  wait_for_rows
  sbatch --parsable --partition=urgent --nodes=3 --exclusive --output=/dev/null --wrap 'sleep 2' > /dev/null || fail "sbatch"
  complete
  interrupted
  left_with 75
  same_file
}

# kill -9 of one rank.
rank_killed() {
  submit "$1"
  wait_for_rows
  local victim
  victim=$(testbed ps 2 | awk -v program="$GRIDMILL" '$5 == program { print $1; exit }')
  [[ -n $victim ]] || missed "no rank on node 2"
  kill -9 "$victim"
  complete
  interrupted
  same_file
}
scenario_rank-killed() { rank_killed generate.sbatch; }
scenario_rank-killed-mpirun() { rank_killed generate-mpirun.sbatch; }

# A node dies with all that runs on it; the job goes on on those that are left.
node_crashed() { # script, node
  submit "$1"
  wait_for_rows
  testbed kill-node "$2"
  complete
  interrupted
  same_file
  testbed start-node "$2" > /dev/null
  wait_for_nodes
}
scenario_node-crash() { node_crashed generate.sbatch 2; }
scenario_first-node-crash() { node_crashed generate.sbatch 1; }
scenario_node-crash-mpirun() { node_crashed generate-mpirun.sbatch 2; }

# A network is cut: the ranks behind it live on, and write, while Slurm starts the job again elsewhere.
unplugged() {
  submit "$1"
  wait_for_rows
  testbed unplug 2
  complete
  interrupted
  same_file
  testbed plug 2
  wait_for_nodes
  same_file
  if testbed ps 2 | grep '[g]enerate --config'; then fail "a rank of the first run still lives"; fi
}
scenario_unplug() { unplugged generate.sbatch; }
scenario_unplug-mpirun() { unplugged generate-mpirun.sbatch; }

wait_for_nodes() {
  for _ in $(seq 240); do
    [[ $(sinfo -h -p main -N -o '%T' | grep -cx idle) -eq 3 ]] && return 0
    sleep 0.5
  done
  fail "the nodes did not come back: $(sinfo -h -p main -N -o '%N %T' | tr '\n' ' ')"
}

# Four tasks that know nothing of each other would do the job four times.
scenario_no-mpi-plugin() {
  local code
  srun --mpi=none -N 2 --ntasks-per-node=2 "$GRIDMILL" generate --config job.cfg --output "$out" > singletons.log 2>&1
  code=$?
  [[ $code -eq 64 ]] || { cat singletons.log; fail "exit code $code, expected 64"; }
  grep -q -- '--mpi=pmix' singletons.log || fail "the message does not say what to change"
  [[ $(grep -c 'gridmill: error' singletons.log) -eq 1 ]] || { cat singletons.log; fail "not one line"; }
  [[ ! -e $out ]] || fail "a result file was made"
  srun --mpi=none -n 1 "$GRIDMILL" generate --config job.cfg --output "$out" --samples-per-prompt 1 > singletons.log 2>&1 ||
    { cat singletons.log; fail "one task needs no plugin"; }
}

# shellcheck source=tests/slurm/chat_walk.sh
source "$root/tests/slurm/chat_walk.sh"

# What a scenario that did not end as it should has left behind.
clean_up() {
  scancel -u "$(id -un)"  # of this test bed
  for node in 1 2 3; do
    testbed plug "$node"
    [[ -n $(testbed pids "$node") ]] || testbed start-node "$node" > /dev/null
  done
  for _ in $(seq 120); do [[ -z $(squeue -h) ]] && break; sleep 0.5; done
  wait_for_nodes
}

failed=()
for name in "${scenarios[@]}"; do
  declare -F "scenario_$name" > /dev/null || { echo "run.sh: unknown scenario $name" >&2; exit 64; }
  samples=$usual
  for attempt in 1 2 3; do
    echo "$name"
    start=$SECONDS
    (trap - EXIT; out=$name.h5; "scenario_$name")
    code=$?
    if [[ $code -eq 0 ]]; then
      echo "  passed in $((SECONDS - start)) s"
      break
    fi
    (clean_up)
    if [[ $code -ne $missed_code || $attempt -eq 3 ]]; then
      failed+=("$name")
      sed 's/^/  | /' "$name.h5.log" 2> /dev/null | tail -n 40
      break
    fi
    rm -f "$name".h5* array*
    samples=$((samples * 4))
    make_job "$samples"
  done
  [[ $samples -eq $usual ]] || make_job "$usual"
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "FAILED: ${failed[*]} (files in $work)"
  exit 1
fi
echo "all ${#scenarios[@]} scenarios passed"
testbed down > /dev/null
trap - EXIT
cd / && { [[ -n $keep ]] || rm -rf "$work"; }
