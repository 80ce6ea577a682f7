#!/usr/bin/env bash
# A throw-away Slurm cluster of N pretended nodes on one machine: slurmctld, a slurmd per node, munge. Our own; the cluster tests
# next to it use it, and it is handy on its own.
#
# No systemd, no /etc/slurm, no cgroups. Every node lives in its own network, UTS and mount namespace (own IP, own hostname, own
# /dev/shm), so Open MPI and PMIx see different hosts; all other files are shared. Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN) and
# slurm-wlm munge iproute2 util-linux.
#
#   testbed.sh [-d DIR] up [-n NODES] [-c CPUS_PER_NODE]
#   testbed.sh [-d DIR] run CMD [ARG...]     run CMD against this cluster
#   testbed.sh [-d DIR] env                  print the exports (for eval)
#   testbed.sh [-d DIR] status               sinfo + squeue
#   testbed.sh [-d DIR] kill-node I          node crash: SIGKILL all on it
#   testbed.sh [-d DIR] start-node I         boot it again
#   testbed.sh [-d DIR] unplug I | plug I    cut / restore its network link
#   testbed.sh [-d DIR] ps I | pids I        processes of node I
#   testbed.sh [-d DIR] down                 stop everything, keep the logs in DIR
#
# DIR defaults to $SLURM_TESTBED_DIR, then /tmp/slurm-testbed; names, subnet and ports derive from it, so several can run side by
# side. Processes are stopped by pid only: pid files of the daemons, and the pids inside this cluster's own network namespaces.
#
# Partition `main` is the default; a job in `urgent` preempts and requeues jobs of `main`. Times are short, so that failures show
# quickly: a requeued job restarts after 9 s, a dead node is noticed within 25 s, SIGKILL follows SIGTERM after 12 s. Time limits
# have a granularity of a minute, and --signal may arrive up to a minute early. --mpi=pmi2 does not work with Debian's Open MPI.
set -u
export PATH=$PATH:/usr/sbin:/sbin

die() { echo "testbed.sh: $*" >&2; exit 1; }

DIR=${SLURM_TESTBED_DIR:-/tmp/slurm-testbed}
if [ "${1:-}" = -d ]; then DIR=${2:?}; shift 2; fi
CMD=${1:-help}; [ $# -gt 0 ] && shift
case $DIR in /*) ;; *) DIR=$PWD/$DIR ;; esac

# --- names derived from DIR, so several testbeds can coexist -----------------
tag()   { printf '%s' "$DIR" | cksum | cut -d' ' -f1; }
TAG=$(( $(tag) % 60000 ))
SUBNET=10.$(( 64 + TAG % 128 )).$(( (TAG / 128) % 256 ))
BRIDGE=stb$TAG                      # interface names: at most 15 characters
NSPFX=stb$TAG-
PORTBASE=$(( 20000 + (TAG % 400) * 64 ))
NODEPFX=tb

load() { [ -f "$DIR/params" ] || die "no testbed in $DIR (run: up)"; . "$DIR/params"; }

exports() {
  export SLURM_CONF=$DIR/slurm.conf
  # Open MPI: root allowed; talk over the testbed's subnet only.
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export OMPI_MCA_btl_tcp_if_include=$SUBNET.0/24 OMPI_MCA_oob_tcp_if_include=$SUBNET.0/24
  # More ranks than cores is the normal case here: yield while waiting.
  export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
  # Slurm/PMI variables of an enclosing job must not leak in.
  local v; for v in $(compgen -e | grep -E '^(SLURM|SBATCH|SALLOC|SRUN)_' | grep -vE '^SLURM_(CONF|TESTBED_DIR)$'); do unset "$v"; done
}

pid_alive() { [ -n "${1:-}" ] && kill -0 "$1" 2>/dev/null; }
pid_of()    { [ -f "$1" ] && tr -cd 0-9 <"$1"; }

stop_pid() { # pid, seconds to wait before SIGKILL
  local p=$1 n=$(( ${2:-5} * 10 ))
  pid_alive "$p" || return 0
  kill "$p" 2>/dev/null
  while pid_alive "$p" && [ $n -gt 0 ]; do sleep 0.1; n=$((n-1)); done
  pid_alive "$p" && kill -9 "$p" 2>/dev/null
  return 0
}

ns_pids() { ip netns pids "$NSPFX$1" 2>/dev/null; }

# Runs a daemon without the caller's open files: a lock among them would be held until `down`.
launch() (
  for fd in /proc/self/fd/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || [ "$fd" -eq 255 ] || eval "exec $fd>&-"
  done 2>/dev/null
  exec "$@"
)

net_up() {
  ip link add name "$BRIDGE" type bridge || die "cannot create a bridge (root / CAP_NET_ADMIN needed)"
  ip addr add "$SUBNET.1/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  local i
  for i in $(seq 1 "$NODES"); do
    ip netns add "$NSPFX$i" || die "cannot create a network namespace"
    ip link add "${BRIDGE}v$i" type veth peer name eth0 netns "$NSPFX$i" || die "veth"
    ip link set "${BRIDGE}v$i" master "$BRIDGE" up
    ip -n "$NSPFX$i" addr add "$SUBNET.$((10+i))/24" dev eth0
    ip -n "$NSPFX$i" link set lo up
    ip -n "$NSPFX$i" link set eth0 up
  done
}

net_down() {
  local i
  for i in $(seq 1 "$NODES"); do ip netns del "$NSPFX$i" 2>/dev/null; done
  ip link del "$BRIDGE" 2>/dev/null
}

node_start() { # one slurmd in the namespaces of node $1
  local i=$1 n=$NODEPFX$1
  mkdir -p "$DIR/spool.$n" "$DIR/tmp.$n"
  # nsenter, not `ip netns exec`: that one remounts /sys, and slurmd 22.05 does
  # not start without a mounted /sys/fs/cgroup, even with no cgroup plugin in use.
  launch nsenter --net="/run/netns/$NSPFX$i" unshare --mount --uts --ipc --propagation private /bin/bash -c '
    mountpoint -q /sys/fs/cgroup || mount -t tmpfs tmpfs /sys/fs/cgroup
    hostname "$1" &&
    mount -t tmpfs -o size=2g tmpfs /dev/shm &&
    mount --bind "$2/hosts" /etc/hosts &&
    SLURM_CONF="$2/slurm.conf" exec slurmd -f "$2/slurm.conf" -N "$1"
  ' _ "$n" "$DIR" </dev/null >>"$DIR/slurmd.$n.out" 2>&1 || { cat "$DIR/slurmd.$n.out" >&2; die "slurmd $n did not start"; }
}

write_conf() {
  local h; h=$(hostname -s 2>/dev/null || hostname)
  cat >"$DIR/slurm.conf" <<CONF
ClusterName=testbed
SlurmctldHost=$h($SUBNET.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# cred_expire: a requeued job waits this long + 1 s before it may start again (default 120 s).
AuthInfo=socket=$DIR/munge.sock,cred_expire=8
CredType=cred/munge
SlurmctldPort=$PORTBASE
SlurmdPort=$((PORTBASE+1))
SrunPortRange=$((PORTBASE+2))-$((PORTBASE+63))
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.%n.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.%n.log
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool.%n
# mpi/pmix makes its directories under TmpFS: one per node.
TmpFS=$DIR/tmp.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PropagateResourceLimits=NONE
# nodes may claim more CPUs than the machine has
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
# short times, so that failures show quickly
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=12
UnkillableStepTimeout=20
MinJobAge=600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=2
CONF
  local i
  for i in $(seq 1 "$NODES"); do
    echo "NodeName=$NODEPFX$i NodeAddr=$SUBNET.$((10+i)) CPUs=$CPUS Boards=1 SocketsPerBoard=1 CoresPerSocket=$CPUS ThreadsPerCore=1 State=UNKNOWN"
  done >>"$DIR/slurm.conf"
  echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=1" >>"$DIR/slurm.conf"
  echo "PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=10" >>"$DIR/slurm.conf"
  { echo "127.0.0.1 localhost"; echo "$SUBNET.1 $h"
    for i in $(seq 1 "$NODES"); do echo "$SUBNET.$((10+i)) $NODEPFX$i"; done; } >"$DIR/hosts"
}

up() {
  NODES=3 CPUS=4
  while getopts n:c: o; do case $o in n) NODES=$OPTARG;; c) CPUS=$OPTARG;; *) die "up [-n NODES] [-c CPUS]";; esac; done
  [ "$(id -u)" = 0 ] || die "needs root"
  local t; for t in munged slurmctld slurmd sinfo ip unshare nsenter; do command -v $t >/dev/null || die "$t is missing (apt-get install slurm-wlm munge iproute2)"; done
  [ ! -f "$DIR/params" ] || die "a testbed is already up in $DIR (run: down)"
  mkdir -p "$DIR/state"; chmod 755 "$DIR"
  printf 'NODES=%d CPUS=%d\n' "$NODES" "$CPUS" >"$DIR/params"
  trap 'down >/dev/null 2>&1' EXIT           # a failed `up` cleans up
  write_conf
  ( umask 077; head -c 1024 /dev/urandom >"$DIR/munge.key" )
  launch munged --force --key-file="$DIR/munge.key" --socket="$DIR/munge.sock" --pid-file="$DIR/munged.pid" \
         --log-file="$DIR/munged.log" --seed-file="$DIR/munged.seed" >>"$DIR/munged.out" 2>&1 || { cat "$DIR/munged.out" >&2; die munged; }
  net_up
  exports
  launch slurmctld -c -f "$DIR/slurm.conf" >>"$DIR/slurmctld.out" 2>&1 || { cat "$DIR/slurmctld.out" >&2; die slurmctld; }
  local i; for i in $(seq 1 "$NODES"); do node_start "$i"; done
  wait_idle 60 || { sinfo >&2; tail -n 20 "$DIR"/*.log >&2; die "nodes did not become idle"; }
  trap - EXIT
  sinfo
}

wait_idle() {
  local n=$(( $1 * 5 ))
  while [ $n -gt 0 ]; do
    [ "$(sinfo -h -N -o '%N %T' 2>/dev/null | sort -u | grep -c ' idle$')" = "$NODES" ] && return 0
    sleep 0.2; n=$((n-1))
  done
  return 1
}

down() {
  load; exports
  if pid_alive "$(pid_of "$DIR/slurmctld.pid")"; then
    timeout 10 scancel --quiet -u "$(id -un)" 2>/dev/null
    local n=40; while [ $n -gt 0 ] && [ -n "$(timeout 5 squeue -h 2>/dev/null)" ]; do sleep 0.2; n=$((n-1)); done
  fi
  local i p
  for i in $(seq 1 "$NODES"); do p=$(pid_of "$DIR/slurmd.$NODEPFX$i.pid"); [ -n "$p" ] && ns_pids "$i" | grep -qx "$p" && stop_pid "$p" 5; done
  # whatever still lives in our own namespaces (slurmstepd, user tasks)
  for i in $(seq 1 "$NODES"); do for p in $(ns_pids "$i"); do kill -9 "$p" 2>/dev/null; done; done
  stop_pid "$(pid_of "$DIR/slurmctld.pid")" 10
  stop_pid "$(pid_of "$DIR/munged.pid")" 5
  net_down
  rm -f "$DIR/params" "$DIR"/*.pid
  rm -rf "$DIR/state" "$DIR"/spool.* "$DIR"/tmp.*
}

case $CMD in
  up) up "$@" ;;
  down) [ -f "$DIR/params" ] || { echo "testbed.sh: nothing is up in $DIR"; exit 0; }; down ;;
  run) load; exports; exec "$@" ;;
  env) load; exports; export -p | grep -E ' (SLURM_CONF|OMPI_[A-Z_a-z]*)=' ;;
  status) load; exports; sinfo -N -l; squeue -o '%i %j %T %r %N %M' ;;
  ps) load; ps -o pid,ppid,stat,etime,args -p "$(ns_pids "${1:?node}" | paste -sd,)" ;;
  pids) load; ns_pids "${1:?node}" ;;
  kill-node) load; for p in $(ns_pids "${1:?node}"); do kill -9 "$p"; done ;;
  start-node) load; exports; ip -n "$NSPFX${1:?node}" link set eth0 up; rm -f "$DIR/slurmd.$NODEPFX$1.pid"; node_start "$1" ;;
  unplug) load; ip link set "${BRIDGE}v${1:?node}" down ;;
  plug) load; ip link set "${BRIDGE}v${1:?node}" up ;;
  *) sed -n '2,27p' "$0" | sed 's/^# \{0,1\}//' ; [ "$CMD" = help ] ;;
esac
