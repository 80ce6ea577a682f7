#!/usr/bin/env bash
# mpirun over pretended hosts (fake_hosts.sh): what crosses the network, a host that crashes, a host whose network is cut.
#
# usage: tests/hosts/run.sh [SCENARIO...]    default: gather crash unplug keepalive
#
# Needs root (jobs/install-packages.sh --developer) and a built program. Fails, never skips.
# Environment: GRIDMILL (build/release/src/gridmill).
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
root=$PWD
gridmill=${GRIDMILL:-$root/build/release/src/gridmill}
scenarios=("$@")
[[ ${#scenarios[@]} -gt 0 ]] || scenarios=(gather crash unplug keepalive)
fail() { echo "FAILED: $*" >&2; exit 1; }
[[ $(id -u) -eq 0 ]] || fail "needs root"
[[ -x $gridmill ]] || fail "no program $gridmill; build it first"

work=$(mktemp -d /tmp/gridmill-hosts.XXXXXX)
cd "$work" || exit
hosts() { FAKE_HOSTS_DIR=$work/hosts "$root/tests/hosts/fake_hosts.sh" "$@"; }
control() { "$work/hosts/ctl" "$@"; }
"$gridmill" convert "$root/models/stories260K/stories260K.bin" model.h5 --tokenizer "$root/models/stories260K/tok512.bin" \
  > /dev/null 2>&1 || fail "convert"
printf 'Once upon a time\nTim had a red ball. He\nThe cat\n\nLily and Ben went\n' > prompts.txt
job=(generate --model model.h5 --prompts prompts.txt --gather-params-once --fsdp-min-weight-size 0 --max-length 256
     --temperature 0.9 --threads 1 --commit-interval 200ms --progress none)
json() { python3 -c "import json,sys; print($1)"; }
rows_done() { { "$gridmill" status out.h5 --json || true; } 2> /dev/null | json 'json.load(sys.stdin)["done"]' 2> /dev/null || echo 0; }
run_in_background() { # options of mpirun
  hosts -n 2 -s 2 -- mpirun "$@" -n 4 "$gridmill" "${job[@]}" --slots 4 --samples-per-prompt 200 --output out.h5 > job.log 2>&1 &
  launched=$!
  for _ in $(seq 600); do
    [[ $(rows_done) -gt 20 ]] && return 0
    sleep 0.1
  done
  cat job.log
  fail "the job does not begin"
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
  [[ $code -ne 0 ]] || fail "the job left with 0"
  echo "  mpirun left with $code, $(rows_done) rows are done"
}
resumed_equals_undisturbed() {
  timeout 400 mpirun -n 2 --oversubscribe --bind-to none "$gridmill" "${job[@]}" --samples-per-prompt 200 \
    --output out.h5 > resume.log 2>&1 || { cat resume.log; fail "resume"; }
  timeout 400 mpirun -n 2 --oversubscribe --bind-to none "$gridmill" "${job[@]}" --samples-per-prompt 200 \
    --output expected.h5 > expected.log 2>&1 || { cat expected.log; fail "the undisturbed run"; }
  cmp out.h5 expected.h5 || fail "the file differs from that of an undisturbed run"
}

# Parameters are gathered once: a node reads half of the eight shards, and each byte of the other half crosses to it once,
# whatever the number of its ranks.
scenario_gather() {
  hosts -n 2 -s 4 -- mpirun -n 8 "$gridmill" "${job[@]}" --fsdp 8 --samples-per-prompt 2 --output out.h5 \
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
  expect_exit 60
  resumed_equals_undisturbed
}
# The ranks notice by themselves, on both sides. mpirun may wait for the daemon behind the cut for many minutes.
scenario_unplug() {
  run_in_background
  control unplug 2
  local start=$SECONDS
  for _ in $(seq 90); do
    [[ -z $(ranks_of 1)$(ranks_of 2) ]] && break
    sleep 1
  done
  [[ -z $(ranks_of 1)$(ranks_of 2) ]] || { cat job.log; fail "ranks live on after 90 s"; }
  echo "  no rank is left $((SECONDS - start)) s after the cut"
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
  expect_exit 120
  echo "  $((SECONDS - start)) s after the cut"
  resumed_equals_undisturbed
}

failed=()
for name in "${scenarios[@]}"; do
  declare -F "scenario_$name" > /dev/null || { echo "run.sh: unknown scenario $name" >&2; exit 64; }
  echo "$name"
  rm -f out.h5* expected.h5* metrics.jsonl
  if (trap end_job EXIT; "scenario_$name"); then echo "  passed"; else failed+=("$name"); fi
done
if [[ ${#failed[@]} -gt 0 ]]; then
  echo "FAILED: ${failed[*]} (files in $work)"
  exit 1
fi
cd / && rm -rf "$work"
