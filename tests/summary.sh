#!/usr/bin/env bash
# Counts what a run of ctest did, test cases of GoogleTest one by one, and refuses skips that are not allowed.
#
# usage: summary.sh ctest.xml LastTest.log allowed_skips.txt
#   allowed_skips.txt  says of itself how it is read; its [unless VARIABLE] sections look at the environment
#   ctest.xml     what ctest --output-junit wrote: how each entry ended
#   LastTest.log  of the same run: what each entry printed
# Last line: "N passed, N failed, N skipped". Exit status: 0 if nothing failed, something ran, and every skip is allowed.
set -euo pipefail
junit=$1 log=$2 allowed=$3

# One line an outcome: passed|failed|skipped <entry>[/<Suite.Case>]. An entry without cases counts as one; an entry that failed
# without a failed case (it crashed, ran too long or could not be started) counts as one failure. Ranks of one entry print the
# same cases: each counts once, with its worst outcome.
outcomes=$(awk '
  function attribute(name,   text) {
    if (!match($0, name "=\"[^\"]*\"")) return ""
    text = substr($0, RSTART, RLENGTH)
    gsub("^" name "=\"|\"$", "", text); gsub(/&quot;/, "\"", text); gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text)
    gsub(/&amp;/, "\\&", text)
    return text
  }
  function note(entry, rank,   name) {
    name = $0
    sub(/^.*\] /, "", name); sub(/,? where GetParam.*/, "", name); sub(/ \([0-9]+ ms\).*/, "", name); sub(/,$/, "", name)
    if (worst[entry, name] == 0) names[entry] = names[entry] name "\n"
    if (worst[entry, name] < rank) worst[entry, name] = rank
  }
  BEGIN { word[1] = "passed"; word[2] = "skipped"; word[3] = "failed" }
  FILENAME == ARGV[1] {
    if ($0 ~ /^\t<testcase /) {
      entry = attribute("name"); order[++entries] = entry; status = attribute("status")
      result[entry] = status == "run" ? "passed" : status == "disabled" ? "skipped" : "failed"
    } else if ($0 ~ /^\t\t<skipped message="SKIP_/) {
      result[entry] = "skipped"
    }
    next
  }
  # Output may contain anything, also lines like these; the last "Test: name" before a case is its entry.
  /^[0-9]+\/[0-9]+ Test: / { entry = $0; sub(/^[0-9]+\/[0-9]+ Test: /, "", entry); next }
  /\[       OK \] .* \([0-9]+ ms\)/ { note(entry, 1); next }
  /\[  SKIPPED \] .* \([0-9]+ ms\)/ { note(entry, 2); next }
  /\[  FAILED  \] .* \([0-9]+ ms\)/ { note(entry, 3); next }
  END {
    for (i = 1; i <= entries; ++i) {
      entry = order[i]; count = split(names[entry], list, "\n") - 1; failed = 0
      for (j = 1; j <= count; ++j) {
        if (worst[entry, list[j]] == 3) failed = 1
        print word[worst[entry, list[j]]], entry "/" list[j]
      }
      if (count < 1 || (result[entry] == "failed" && !failed)) print result[entry], entry
    }
  }' "$junit" "$log" | LC_ALL=C sort)

is_allowed() {
  local pattern holds=true
  while IFS= read -r pattern; do
    pattern=${pattern%%#*}
    pattern=${pattern%"${pattern##*[![:space:]]}"}
    if [[ $pattern =~ ^\[unless\ ([A-Za-z_]+)\]$ ]]; then
      [[ -z ${!BASH_REMATCH[1]:-} ]] && holds=true || holds=false
      continue
    fi
    $holds || continue
    # shellcheck disable=SC2053  # a pattern, on purpose
    [[ -n $pattern && $1 == $pattern ]] && return 0
  done < "$allowed"
  return 1
}

refused=0
while read -r _ name; do
  if is_allowed "$name"; then
    echo "skipped: $name"
  else
    echo "skipped, but not listed in $(basename "$allowed"): $name"
    refused=$((refused + 1))
  fi
done < <(grep '^skipped ' <<< "$outcomes" || true)
grep '^failed ' <<< "$outcomes" | sed 's/^failed /failed: /' || true

count() { grep -c "^$1 " <<< "$outcomes" || true; }
passed=$(count passed) failed=$(count failed) skipped=$(count skipped)
if [[ $refused -gt 0 ]]; then
  echo "$refused skips are not allowed: mend the test, or list it in $(basename "$allowed") with the reason"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed -eq 0 && $refused -eq 0 && $passed -gt 0 ]]
