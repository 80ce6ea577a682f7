#!/usr/bin/env bash
# Manual pages and completions, from the tables of options that the program itself prints.
#
# usage: documents.sh GRIDMILL FOLDER      FOLDER gets man/man1, bash-completion/completions, zsh/vendor-completions
set -euo pipefail

program=${1:?usage: documents.sh GRIDMILL FOLDER} folder=${2:?usage: documents.sh GRIDMILL FOLDER}
man=$folder/man/man1 bash=$folder/bash-completion/completions zsh=$folder/zsh/vendor-completions
mkdir -p "$man" "$bash" "$zsh"
words=$("$program" --help-as=words)
mapfile -t commands < <(cut -f 1 <<< "$words")

"$program" --help-as=man | gzip -9n > "$man/gridmill.1.gz"
for command in "${commands[@]}"; do
  "$program" "$command" --help-as=man | gzip -9n > "$man/gridmill-$command.1.gz"
done

{
  cat << 'END'
# bash completion of gridmill; made from its options.
_gridmill() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} options=
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
END
  printf '    mapfile -t COMPREPLY < <(compgen -W "%s --help --version" -- "$current")\n' "${commands[*]}"
  printf '    return\n  fi\n  case $command in\n'
  for command in "${commands[@]}"; do
    options=$("$program" "$command" --help-as=words | cut -f 1 | tr '\n' ' ')
    printf '    %s) options="%s" ;;\n' "$command" "${options% }"
  done
  cat << 'END'
  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  fi
}
complete -F _gridmill gridmill
END
} > "$bash/gridmill"

# A word of _arguments: '--name[description]:value:_files', with what would end a part set apart.
zsh_words() {
  local name value description
  while IFS=$'\x1f' read -r name value description; do
    description=${description//\\/\\\\} description=${description//:/\\:} description=${description//\[/\\[}
    description=${description//\]/\\]} description=${description//\'/\'\\\'\'}
    printf " \\\\\n        '%s[%s]" "$name" "$description"
    [[ -z $value ]] || printf ':value:_files'
    printf "'"
  done < <(tr '\t' '\037')
}
{
  printf '#compdef gridmill\n# zsh completion of gridmill; made from its options.\n_gridmill() {\n  if (( CURRENT == 2 )); then\n    local -a commands=('
  while IFS=$'\x1f' read -r name _ summary; do
    printf "\n      '%s:%s'" "$name" "${summary//\'/\'\\\'\'}"
  done < <(tr '\t' '\037' <<< "$words")
  printf '\n    )\n    _describe command commands\n    return\n  fi\n  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n'
  for command in "${commands[@]}"; do
    printf '    %s)\n      _arguments' "$command"
    "$program" "$command" --help-as=words | zsh_words
    printf " \\\\\n        '*:file:_files' ;;\n"
  done
  printf '  esac\n}\n_gridmill "$@"\n'
} > "$zsh/_gridmill"
