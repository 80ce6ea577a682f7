#!/usr/bin/env bash
# usage: driver_test.sh <fuzz_driver_planted>
set -uo pipefail
target=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
fail() { echo "driver_test.sh: $*" >&2; exit 1; }

mkdir quiet near thrower empty
printf 'nothing here' > quiet/a
printf 'crash' > near/a
printf 'throw' > thrower/a
printf 'crash"' > crasher
printf 'hang' > hanger

"$target" --corpus quiet --runs 500 > out 2>&1 || fail "a good target failed: $(cat out)"
grep -q '^fuzz: 1 seeds and 500 mutations, no failure, [0-9]* MiB at most$' out || fail "unexpected summary: $(cat out)"
[[ ! -e failed-input ]] || fail "a good run left an input"

# The bug is one inserted byte away from the seed: mutation has to find it, and keep what did it.
"$target" --corpus near --runs 20000 > out 2>&1 && fail "the planted crash was not found"
[[ $(head -c 6 failed-input) == 'crash"' ]] || fail "the kept input is not the one that crashed"
cp failed-input first
"$target" --corpus near --runs 20000 > out 2>&1
cmp -s first failed-input || fail "two runs mutate differently"
"$target" first > out 2>&1 && fail "the kept input does not crash again"

"$target" --corpus thrower --runs 0 > out 2>&1 && fail "an escaped exception passed"
grep -q 'an exception escaped: planted' out || fail "the exception is not named: $(cat out)"
"$target" --timeout 1 hanger > out 2>&1 && fail "an endless loop passed"
grep -q 'failing input is in' out || fail "the endless loop left no input: $(cat out)"
"$target" --corpus empty > out 2>&1 && fail "a folder without seeds passed"
"$target" --runs > out 2>&1 && fail "a missing value passed"
echo "driver_test.sh: every planted bug was found"
