#!/usr/bin/env bash
# Leases against a static division, with the program itself: two ranks, each pinned to a processor of its own, work on one job,
# or each on a half of it (two jobs of one rank). All rows have 220 tokens, of which the prompt is 1 to about
# 200. One rank is made slow by another program on its processor.
#
# usage: static-division.sh [BUILD_DIR]    (build/release)     Environment: ROWS (2000)
# Prints a table. Ratios between its lines mean something on a quiet machine with two processors or more.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
gridmill=$(cd "${1:-build/release}" && pwd)/src/gridmill
rows=${ROWS:-2000}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

folder=$(mktemp -d)
burner=''
cleanup() {
  [[ -z $burner ]] || kill "$burner" 2> /dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"
"$gridmill" convert "$root/models/stories260K/stories260K.bin" model.h5 --tokenizer "$root/models/stories260K/tok512.bin" 2> /dev/null

# Prompts of 0 to 197 letters (a token each), in an order without pattern, and sorted: those with the most to generate come last.
awk -v rows="$rows" 'BEGIN { for (i = 0; i < rows; i++) { n = (i * 7919) % 198; s = ""; while (length(s) < n) s = s substr("qzxjkvw", 1 + length(s) % 7, 1); print s } }' > mixed.txt
awk '{ print length($0), $0 }' mixed.txt | sort -rn | sed 's/^[0-9]* //' > sorted.txt
for order in mixed sorted; do
  head -n $((rows / 2)) "$order.txt" > "$order-0.txt"
  tail -n +$((rows / 2 + 1)) "$order.txt" > "$order-1.txt"
done

options=(--model model.h5 --max-length 220 --eod-token-id -1 --temperature 0 --slots 16 --threads 1 --progress none --log-level error)
generate_s() { tail -qn 1 "$@" | sed -E 's/.*"generate_s":\{[^}]*"max":([0-9.]+).*/\1/' | sort -n | tail -n 1; }
idle() { tail -qn 1 "$1" | sed -E 's/.*"idle_share":\{[^}]*"mean":([0-9.]+).*/\1/'; }

static() { # prompts
  rm -f out-*
  for half in 0 1; do
    taskset -c "$half" "$gridmill" generate "${options[@]}" --prompts "$1-$half.txt" --output "out-$half.h5" --metrics "out-$half.metrics" &
  done
  wait
  generate_s out-0.metrics out-1.metrics
}
leases() { # prompts, further options
  rm -f out-*
  # shellcheck disable=SC2016  # each rank reads its own number
  mpirun -n 2 --bind-to none bash -c 'exec taskset -c "$OMPI_COMM_WORLD_LOCAL_RANK" "$0" "$@"' "$gridmill" generate "${options[@]}" \
    --prompts "$1.txt" --output out-0.h5 --metrics out-0.metrics "${@:2}"
  generate_s out-0.metrics
}

echo "| two ranks | static s | leases s | ranks idle | one unit at a time (fsdp 2) s | ranks idle |"
echo "|---|---|---|---|---|---|"
compare() { # name, prompts
  local divided shared idle_once gathered
  divided=$(static "$2")
  shared=$(leases "$2")
  idle_once=$(idle out-0.metrics)
  gathered=$(leases "$2" --fsdp 2 --gather-params-once=false --fsdp-min-weight-size 0)
  printf '| %s | %.1f | %.1f | %.1f %% | %.1f | %.1f %% |\n' "$1" "$divided" "$shared" "$(awk "BEGIN { print 100 * $idle_once }")" \
    "$gathered" "$(awk "BEGIN { print 100 * $(idle out-0.metrics) }")"
}
compare equal mixed
compare "prompts sorted by length" sorted
taskset -c 1 bash -c 'while :; do :; done' &
burner=$!
compare "one rank half as fast" mixed
