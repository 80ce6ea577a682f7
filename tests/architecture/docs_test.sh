#!/usr/bin/env bash
# The pages of the documentation: links lead somewhere, files that are named are there, prose has lines of at most 160
# characters. Tables and blocks of code may be longer.
set -euo pipefail
cd "$(dirname "$0")/../.."
failed=0
fail() { echo "docs_test.sh: $*" >&2; failed=1; }

mapfile -t pages < <(find . -name '*.md' -not -path './build/*' -not -path './out/*' -not -path './.git/*' | sort)
[[ ${#pages[@]} -gt 20 ]] || fail "only ${#pages[@]} pages"
for page in "${pages[@]}"; do
  while IFS= read -r long; do
    fail "$page:$long"
  done < <(awk '/^ *```/ { code = !code } !code && !/^ *\|/ && length($0) > 160 { print FNR ": " length($0) " characters" }' "$page")
  while IFS= read -r target; do
    [[ $target =~ ^(https?:|mailto:|#) ]] && continue
    [[ -e $(dirname "$page")/${target%%#*} ]] || fail "$page: the link to $target leads nowhere"
  done < <(grep -oE '\]\([^)]+\)' "$page" | sed 's/^](//; s/)$//' || true)
  while IFS= read -r path; do
    # What a user or a build makes is not there.
    compgen -G "$path" > /dev/null || fail "$page names $path, which is not there"
  done < <(grep -oE '`(docs|tests|src|include|jobs|slurm|models|cmake|packaging)/[A-Za-z0-9_./*-]+`' "$page" | tr -d '`' | sort -u || true)
done
exit "$failed"
