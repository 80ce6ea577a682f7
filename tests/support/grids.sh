# Every grid of a number of ranks, for the scripts that go through all of them: "dp fsdp tp", a line each.
# shellcheck shell=bash
list_grids() { # RANKS...
  local ranks tp fsdp
  for ranks in "$@"; do
    for tp in 1 2 4 8; do
      for fsdp in 1 2 4 8; do
        if ((ranks % (tp * fsdp) == 0)); then echo "$((ranks / tp / fsdp)) $fsdp $tp"; fi
      done
    done
  done
}
