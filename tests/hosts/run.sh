#!/usr/bin/env bash
# mpirun over pretended hosts (fake_hosts.sh): what crosses the network, a host that crashes, a host whose network is cut.
#
# usage: tests/hosts/run.sh [SCENARIO...]    default: gather crash unplug keepalive
#
# Needs root (jobs/install-packages.sh --developer) and a built program. Fails, never skips. A disturbance that comes when the job is
# over already is tried again with a job twice as long, and fails the fifth time.
# Environment: GRIDMILL (build/release/src/gridmill).
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
root=$PWD
gridmill=${GRIDMILL:-$root/build/release/src/gridmill}
scenarios=("$@")
[[ ${#scenarios[@]} -gt 0 ]] || scenarios=(gather crash unplug keepalive)
fail() { echo "FAILED: $*" >&2; exit 1; }
readonly missed_code=2
missed() { echo "  missed: $*"; exit "$missed_code"; }
[[ $(id -u) -eq 0 ]] || fail "needs root"
[[ -x $gridmill ]] || fail "no program $gridmill; build it first"

work=$(mktemp -d /tmp/gridmill-hosts.XXXXXX)
cd "$work" || exit
export FAKE_HOSTS_DIR=$work/hosts
hosts=$root/tests/hosts/fake_hosts.sh  # no function: the process in the background has to be this script, mpirun's parent
control() { "$work/hosts/ctl" "$@"; }
"$gridmill" convert "$root/models/stories260K/stories260K.bin" model.h5 --tokenizer "$root/models/stories260K/tok512.bin" \
  > /dev/null 2>&1 || fail "convert"
printf 'Once upon a time\nTim had a red ball. He\nThe cat\n\nLily and Ben went\n' > prompts.txt
job=(generate --model model.h5 --prompts prompts.txt --gather-params-once --fsdp-min-weight-size 0 --max-length 256
     --temperature 0.9 --threads 1 --commit-interval 200ms --progress none)
json() { python3 -c "import json,sys; print($1)"; }
rows_done() { { "$gridmill" status out.h5 --json || true; } 2> /dev/null | json 'json.load(sys.stdin)["done"]' 2> /dev/null || echo 0; }
samples=200  # a prompt; there are five
seen=0       # rows that were done before the job was disturbed
# Slower than it could be (one slot), so that there is time to disturb it.
run_in_background() { # options of mpirun
  "$hosts" -n 2 -s 2 -- mpirun "$@" -n 4 "$gridmill" "${job[@]}" --slots 1 --samples-per-prompt "$samples" --output out.h5 \
    > job.log 2>&1 &
  launched=$!
  for _ in $(seq 600); do
    seen=$(rows_done)
    [[ $seen -gt 20 ]] && break
    sleep 0.2
  done
  [[ $seen -gt 0 ]] || { cat job.log; fail "the job does not begin"; }
  [[ $seen -lt $((samples * 3)) ]] || missed "$seen of $((samples * 5)) rows are done"
}
# mpirun may not end otherwise: it waits for its daemons.
end_job() {
  [[ -n $launched ]] || return 0
  local mpirun
  mpirun=$(pgrep -P "$launched" -x mpirun)
  [[ -z $mpirun ]] || kill -9 "$mpirun"
  wait "$launched" 2> /dev/null
  launched=''
}
launched=''
expect_exit() { # seconds
  local code
  for _ in $(seq $(($1 * 4))); do
    kill -0 "$launched" 2> /dev/null || break
    sleep 0.25
  done
  kill -0 "$launched" 2> /dev/null && { cat job.log; fail "the job still runs after $1 s"; }
  wait "$launched"
  code=$?
  launched=''
  in_the_middle
  [[ $code -ne 0 ]] || fail "the job left with 0"
  echo "  mpirun left with $code"
}
in_the_middle() {
  local finished
  finished=$(rows_done)
  [[ $finished -lt $((samples * 5)) ]] || missed "all rows are done"
  [[ $finished -ge $seen ]] || fail "$finished rows are done, $seen were before"
  echo "  $finished of $((samples * 5)) rows are done"
}
resumed_equals_undisturbed() {
  local output
  for output in out.h5 expected.h5; do
    mpirun -n 2 --oversubscribe --bind-to none "$gridmill" "${job[@]}" --samples-per-prompt "$samples" --output "$output" \
      > "$output.log" 2>&1 || { cat "$output.log"; fail "the run that finishes $output"; }
  done
  cmp out.h5 expected.h5 || fail "the file differs from that of an undisturbed run"
}

# Parameters are gathered once: a node reads half of the eight shards, and each byte of the other half crosses to it once,
# whatever the number of its ranks.
scenario_gather() {
  "$hosts" -n 2 -s 4 -- mpirun -n 8 "$gridmill" "${job[@]}" --fsdp 8 --samples-per-prompt 2 --output out.h5 \
    --metrics metrics.jsonl > job.log 2>&1 || { cat job.log; fail "generate"; }
  grep -q 'on 2 nodes' job.log || fail "not two nodes"
  tail -n 1 metrics.jsonl | json '(lambda r: "  %d bytes a node, %d received by all ranks of both nodes" % (
    r["parameter_memory_shared"]["max"], round(r["parameter_bytes_received"]["mean"] * r["ranks"])))(json.load(sys.stdin))'
  tail -n 1 metrics.jsonl | json '(lambda r: 0.4 < r["parameter_bytes_received"]["mean"] * r["ranks"]
    / r["parameter_memory_shared"]["max"] <= 1)(json.load(sys.stdin))' | grep -qx True || fail "not once"
}
scenario_crash() {
  run_in_background
  control crash 2
  expect_exit 300
  resumed_equals_undisturbed
}
# The ranks notice by themselves, on both sides. mpirun may wait for the daemon behind the cut for many minutes.
scenario_unplug() {
  run_in_background
  control unplug 2
  local start=$SECONDS
  for _ in $(seq 180); do
    [[ -z $(ranks_of 1)$(ranks_of 2) ]] && break
    sleep 1
  done
  [[ -z $(ranks_of 1)$(ranks_of 2) ]] || { cat job.log; fail "ranks live on after 180 s"; }
  echo "  no rank is left $((SECONDS - start)) s after the cut"
  in_the_middle
  grep -q 'is gone or cut off' job.log || { cat job.log; fail "nobody says that a host is gone"; }
  end_job
  resumed_equals_undisturbed
}
ranks_of() { ps -o args= -p "$(control pids "$1" | paste -sd,)" 2> /dev/null | grep ' generate --model' | grep -v mpirun; }

# mpirun told to look at its daemons notices before the ranks do.
scenario_keepalive() {
  run_in_background --mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 5 --mca oob_tcp_keepalive_probes 3
  control unplug 2
  local start=$SECONDS
  expect_exit 300
  echo "  $((SECONDS - start)) s after the cut"
  resumed_equals_undisturbed
}

failed=()
for name in "${scenarios[@]}"; do
  declare -F "scenario_$name" > /dev/null || { echo "run.sh: unknown scenario $name" >&2; exit 64; }
  samples=200
  for attempt in 1 2 3 4 5; do
    echo "$name"
    rm -f out.h5* metrics.jsonl expected.h5*
    start=$SECONDS
    (trap end_job EXIT; "scenario_$name")
    code=$?
    [[ $code -ne 0 ]] || { echo "  passed in $((SECONDS - start)) s"; break; }
    [[ $code -eq $missed_code && $attempt -lt 5 ]] || { failed+=("$name"); break; }
    samples=$((samples * 2))
  done
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "FAILED: ${failed[*]} (files in $work)"
  exit 1
fi
cd / && rm -rf "$work"
