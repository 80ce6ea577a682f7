#!/usr/bin/env bash
# The long run: every fuzz target on many changed inputs, under address and undefined-behaviour sanitizers. Prints a table with
# what each one met: signals (and reports of the sanitizers), more than 20 s of processor time, exceptions that escape and exit
# codes that are no answer to a file (70), more than 1 GiB of memory, and files opened outside of the target's own folder (traced
# with strace, if that is installed). Failing inputs are kept in FOUND; the script goes on behind each, and fails at its end.
#
# usage: run-long.sh [MUTATIONS of all targets together, default 100000] [SEED, default 1]
# Environment: BUILD_DIR (build/asan, which the script configures and builds; another folder is only used), FOUND (build/fuzz-found),
# TARGETS (all).
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
root=$PWD build=${BUILD_DIR:-build/asan} mutations=${1:-100000} seed=${2:-1} found=${FOUND:-$PWD/build/fuzz-found}
if [[ -z ${BUILD_DIR:-} ]]; then
  cmake --preset asan > /dev/null && cmake --build build/asan --target fuzz || exit
fi
build=$(realpath "$build")
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16:allocator_may_return_null=1
# Shares of the mutations. A file that HDF5 never ends with costs 5 s.
declare -A share=([h5]=4 [model_folder]=8)
names=${TARGETS:-$(for target in "$build"/tests/fuzz/*_fuzz; do basename "$target" _fuzz; done)}
shares=0
for name in $names; do shares=$((shares + ${share[$name]:-12})); done
mkdir -p "$found"
tracer=()
command -v strace > /dev/null && tracer=(strace -f --seccomp-bpf -qq -e trace=%file -e signal=none)
[[ ${#tracer[@]} -gt 0 ]] || echo "run-long.sh: strace is not installed: files outside are not counted"

# Paths that were opened, changed or removed with success: neither the target's own (in memory, or in its working folder) nor
# what a program opens when it starts.
outside() { # LOG WORK
  grep -v ' = -1 ' "$1" | grep -E '(open|openat|creat|unlink|unlinkat|rename|renameat2|link|symlink|mkdir|truncate|chmod)\(' |
    grep -oE '"[^"]*"' | tr -d '"' | sort -u |
    grep -vE "^(/dev/shm/gridmill-|$2|$root/tests/fuzz/corpus|$build|/proc/self/|/lib|/usr/lib|/etc/ld\.so|/dev/null|/sys/devices/system/|failed-input|[^/]*$)" |
    grep -vE "^tests/fuzz/corpus"
}

printf '%-16s %9s %8s %8s %6s %9s %8s %9s %8s\n' target inputs signals hangs '70' 'over 1GiB' outside 'CPU s' 'MiB'
total=0 failures=0
for name in $names; do
  count=$((mutations * ${share[$name]:-12} / shares + 1)) first=0 signals=0 hangs=0 bugs=0 memory=0 opened=0
  target=$build/tests/fuzz/${name}_fuzz
  work=$(mktemp -d) log=$(mktemp) peak=0
  start=$(awk '{print $16 + $17}' /proc/$$/stat)
  while [[ $first -lt $count ]]; do
    command=("$target" --corpus "$root/tests/fuzz/corpus/$name" --first "$first" --runs $((count - first)) --seconds 1000000
             --timeout 20 --seed "$seed")
    [[ ${#tracer[@]} -eq 0 ]] || command=("${tracer[@]}" -o "$log" "${command[@]}")
    if (cd "$work" && "${command[@]}" > out 2>&1); then
      first=$count
    else
      at=$(sed -n 's/^fuzz: mutation \([0-9]*\) fails$/\1/p' "$work/out" | tail -1)
      kept=$found/$name-$seed-${at:-seed}
      cp "$work/failed-input" "$kept" 2> /dev/null
      cp "$work/out" "$kept.log"
      if grep -q 'takes too long\|s of child processes' "$work/out"; then
        hangs=$((hangs + 1))
      elif grep -q 'an exception escaped\|exit code' "$work/out"; then
        bugs=$((bugs + 1))
      elif grep -q 'KiB of memory' "$work/out"; then
        memory=$((memory + 1))
      else
        signals=$((signals + 1))
      fi
      [[ -n $at ]] || break
      first=$((at + 1))
    fi
    [[ ${#tracer[@]} -eq 0 ]] || outside "$log" "$work" >> "$work/outside"
  done
  [[ ${#tracer[@]} -eq 0 ]] || opened=$(sort -u "$work/outside" | tee "$found/$name-$seed.outside" | wc -l)
  peak=$(sed -n 's/.* \([0-9]*\) MiB at most$/\1/p' "$work/out" | tail -1)
  cpu=$(awk -v before="$start" -v hertz="$(getconf CLK_TCK)" '{printf "%.0f", ($16 + $17 - before) / hertz}' /proc/$$/stat)
  printf '%-16s %9d %8d %8d %6d %9d %8d %9s %8s\n' "$name" "$first" $signals $hangs $bugs $memory "$opened" "$cpu" "${peak:--}"
  total=$((total + first)) failures=$((failures + signals + hangs + bugs + memory + opened))
  rm -rf "$work" "$log"
done
printf '%-16s %9d   %d findings\n' all $total $failures
[[ $failures -eq 0 ]]
