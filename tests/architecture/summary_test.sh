#!/usr/bin/env bash
# Lets ctest run a made-up folder of entries that end in every way there is, and holds tests/summary.sh to what it must say.
#
# usage: summary_test.sh <source folder> <ctest program>
set -euo pipefail
source_dir=$1 ctest=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/CTestTestfile.cmake" << 'END'
add_test(good "/bin/true")
add_test(bad "/bin/false")
add_test(missing "/no such program")
add_test(skipped "/bin/sh" "-c" "exit 77")
set_tests_properties(skipped PROPERTIES SKIP_RETURN_CODE 77)
add_test(disabled "/bin/true")
set_tests_properties(disabled PROPERTIES DISABLED TRUE)
add_test(crashes "/bin/sh" "-c" "echo '[       OK ] A.Works (0 ms)'; kill -SEGV $$")
add_test(hangs "/bin/sleep" "5")
set_tests_properties(hangs PROPERTIES TIMEOUT 0.2)
add_test(setup "/bin/false")
set_tests_properties(setup PROPERTIES FIXTURES_SETUP f)
add_test(needs_setup "/bin/true")
set_tests_properties(needs_setup PROPERTIES FIXTURES_REQUIRED f)
add_test(cases "/bin/cat" "cases.txt")
add_test(two_ranks "/bin/sh" "-c" "cat ranks.txt; exit 1")
END
cat > "$work/cases.txt" << 'END'
[       OK ] Thing.Works (0 ms)
[       OK ] All/Thing.WorksFor/0, where GetParam() = 8-byte object <00-00> (12 ms)
[  SKIPPED ] Thing.NeedsData (0 ms)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Thing.NeedsData
END
cat > "$work/ranks.txt" << 'END'
[       OK ] Thing.Works (0 ms)
[       OK ] Thing.Works (1 ms)
[       OK ] Thing.Agrees (0 ms)
[  FAILED  ] Thing.Agrees, where GetParam() = 2 (0 ms)
END
cat > "$work/allowed.txt" << 'END'
# a comment
cases/Thing.Needs*  # the data is large
disabled  # on purpose
[unless SUMMARY_TEST_HAS_ALL]
skipped  # only where something is missing
END

fail() { echo "summary_test.sh: $*" >&2; exit 1; }
"$ctest" --test-dir "$work" --output-junit ctest.xml > /dev/null 2>&1 || true
expected="skipped: cases/Thing.NeedsData
skipped: disabled
skipped, but not listed in allowed.txt: skipped
failed: bad
failed: crashes
failed: hangs
failed: missing
failed: needs_setup
failed: setup
failed: two_ranks/Thing.Agrees
1 skips are not allowed: mend the test, or list it in allowed.txt with the reason
5 passed, 7 failed, 3 skipped"
export SUMMARY_TEST_HAS_ALL=1
summary=(bash "$source_dir/tests/summary.sh" "$work/ctest.xml" "$work/Testing/Temporary/LastTest.log")
found=$("${summary[@]}" "$work/allowed.txt") && fail "failures and a refused skip left exit status 0"
[[ $found == "$expected" ]] || fail "$(diff <(echo "$expected") <(echo "$found"))"

# The same judge lets a clean run pass, and refuses it for one skip that nobody listed, or when nothing ran.
"$ctest" --test-dir "$work" --output-junit ctest.xml -R '^(good|cases)$' > /dev/null 2>&1
"${summary[@]}" "$work/allowed.txt" > /dev/null || fail "a clean run with an allowed skip is refused"
"$ctest" --test-dir "$work" --output-junit ctest.xml -R '^(good|skipped)$' > /dev/null 2>&1
"${summary[@]}" "$work/allowed.txt" > /dev/null && fail "a skip is accepted although its condition does not hold"
SUMMARY_TEST_HAS_ALL="" "${summary[@]}" "$work/allowed.txt" > /dev/null || fail "a skip is refused although its condition holds"
"${summary[@]}" /dev/null > /dev/null && fail "a skip that is not listed is accepted"
"$ctest" --test-dir "$work" --output-junit ctest.xml -R '^disabled$' > /dev/null 2>&1 || true
"${summary[@]}" "$work/allowed.txt" > /dev/null && fail "a run without a passed test is accepted"
echo "summary_test.sh: every way to end is counted"
