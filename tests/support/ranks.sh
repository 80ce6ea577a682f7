# Processes of a job: children of Open MPI's mpirun, grandchildren of Hydra's mpiexec. From /proc alone.
# shellcheck shell=bash
ranks_below() { # PID PROGRAM: ids of PROGRAM's processes below PID, a line each
  local stat fields pid parent
  for stat in /proc/[0-9]*/stat; do
    { read -r fields < "$stat"; } 2> /dev/null || continue  # it has ended meanwhile
    pid=${fields%% *}
    # Behind the name, which may hold anything: state and parent.
    read -r _ parent _ <<< "${fields##*) }"
    [[ $parent == "$1" ]] || continue
    if [[ /proc/$pid/exe -ef $2 ]]; then echo "$pid"; else ranks_below "$pid" "$2"; fi
  done
}
