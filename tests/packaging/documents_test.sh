#!/usr/bin/env bash
# Manual pages and completions agree with --help, option for option.
#
# usage: documents_test.sh GRIDMILL
set -euo pipefail
program=${1:?usage: documents_test.sh GRIDMILL}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
bash "$(dirname "$0")/../../packaging/documents.sh" "$program" "$folder"

failed=0
fail() { echo "documents_test.sh: $*" >&2; failed=1; }

for tool in man zsh; do
  command -v "$tool" > /dev/null || { echo "SKIPPED: $tool is not installed (jobs/install-packages.sh --developer)"; exit 77; }
done
mapfile -t commands < <("$program" --help-as=words | cut -f 1)
[[ ${#commands[@]} -ge 11 ]] || fail "only ${#commands[@]} commands"
for command in "${commands[@]}"; do
  page=$folder/man/man1/gridmill-$command.1.gz
  help=$("$program" "$command" --help | grep -oE '^  (-[a-z] \[ )?--[a-z][a-z0-9-]*' | grep -oE -- '--[a-z0-9-]+' | sort)
  words=$("$program" "$command" --help-as=words | cut -f 1 | sort)
  manual=$(zcat "$page" | grep -A 1 '^\.TP' | grep -oE '^\\fB[^ ]*( \\-\\-[a-z0-9\\-]+)?' | sed 's/\\-/-/g' | grep -oE -- '--[a-z0-9-]+' | sort)
  [[ -n $help && $help == "$words" ]] || fail "$command: --help and --help-as=words list other options: $(diff <(echo "$help") <(echo "$words"))"
  [[ $help == "$manual" ]] || fail "$command: --help and the manual page list other options: $(diff <(echo "$help") <(echo "$manual"))"
done
for page in "$folder"/man/man1/*.gz; do
  said=$(zcat "$page" | LC_ALL=C.UTF-8 MANROFFSEQ= man --warnings -E UTF-8 -l - 2>&1 > /dev/null || true)
  [[ -z $said ]] || fail "$(basename "$page"): $said"
done

# What TAB gives.
completed() {
  bash -c 'compopt() { :; }; source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gridmill; printf "%s\n" "${COMPREPLY[@]}"' \
    bash "$folder/bash-completion/completions/gridmill" "$@"
}
[[ $(completed gridmill gen) == generate ]] || fail "gridmill gen<TAB> gives: $(completed gridmill gen)"
words=$(completed gridmill generate --te)
grep -qx -- --temperature <<< "$words" || fail "gridmill generate --te<TAB> gives: $words"
words=$(completed gridmill export --te)
[[ -z $words ]] || fail "gridmill export --te<TAB> gives: $words"
zsh -n "$folder/zsh/vendor-completions/_gridmill" || fail "zsh does not read its completion"
exit "$failed"
