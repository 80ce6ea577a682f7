#!/usr/bin/env bash
# Runs one mpirun job over N pretended hosts on this machine, without Slurm. Our own.
#
# Every host has its own network, UTS, IPC and mount namespace: own IP, own hostname (fh1, fh2, ...), own /dev/shm. Open MPI then
# uses shared memory inside a host and TCP between hosts, and MPI_COMM_TYPE_SHARED splits by host.
#
#   fake_hosts.sh [-n HOSTS] [-s SLOTS_PER_HOST] [-D DELAY_MS] [-B MBIT] -- mpirun ARGS...
#
# HOSTS and SLOTS default to 2 and 2. -D and -B shape each host's link with tc (where the kernel has netem, tbf). The exit code is the
# command's. While it runs, $FAKE_HOSTS_DIR/ctl works from another shell:
#   ctl exec I CMD...   run CMD on host I         ctl pids I   its processes
#   ctl crash I         SIGKILL everything on I   ctl unplug I / plug I
# Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN), iproute2, util-linux, openmpi-bin. Stops only what it started, by pid.
set -u
export PATH=$PATH:/usr/sbin:/sbin
HOSTS=2 SLOTS=2 DELAY='' MBIT='' VERBOSE=''
while getopts n:s:D:B:vh o; do case $o in
  n) HOSTS=$OPTARG;; s) SLOTS=$OPTARG;; D) DELAY=$OPTARG;; B) MBIT=$OPTARG;; v) VERBOSE=1;;
  *) sed -n '2,14p' "$0" | sed 's/^# \{0,1\}//'; exit 2;; esac; done
shift $((OPTIND-1)); [ "${1:-}" = -- ] && shift
[ $# -gt 0 ] || { echo "fake_hosts.sh: no command" >&2; exit 2; }

ID=$(( $$ % 60000 )); BR=fhb$ID
NET=10.$(( 192 + ID % 60 )).$(( (ID / 60) % 256 ))
DIR=${FAKE_HOSTS_DIR:-$(mktemp -d /tmp/fake-hosts.XXXXXX)}; mkdir -p "$DIR"

ns()   { echo "fh$ID-$1"; }
pids() { ip netns pids "$(ns "$1")" 2>/dev/null; }
cleanup() {
  local i p
  for i in $(seq 1 "$HOSTS"); do
    for p in $(pids "$i"); do kill -9 "$p" 2>/dev/null; done
    ip netns del "$(ns "$i")" 2>/dev/null
  done
  ip link del "$BR" 2>/dev/null
  rm -rf "$DIR"
}
trap cleanup EXIT
trap 'exit 129' HUP

set -e
ip link add name "$BR" type bridge; ip addr add "$NET.1/24" dev "$BR"; ip link set "$BR" up
{ echo "127.0.0.1 localhost"; echo "$NET.1 $(hostname)"; for i in $(seq 1 "$HOSTS"); do echo "$NET.$((10+i)) fh$i"; done; } >"$DIR/hosts"
: >"$DIR/hostfile"
for i in $(seq 1 "$HOSTS"); do
  n=$(ns "$i")
  ip netns add "$n"
  ip link add "${BR}v$i" type veth peer name eth0 netns "$n"
  ip link set "${BR}v$i" master "$BR" up
  ip -n "$n" addr add "$NET.$((10+i))/24" dev eth0; ip -n "$n" link set lo up; ip -n "$n" link set eth0 up
  [ -z "$DELAY" ] || ip netns exec "$n" tc qdisc add dev eth0 root netem delay "${DELAY}ms" || echo "fake_hosts.sh: no netem here" >&2
  [ -z "$MBIT" ] || ip netns exec "$n" tc qdisc add dev eth0 root tbf rate "${MBIT}mbit" burst 256kb latency 50ms || echo "fake_hosts.sh: no tbf here" >&2
  # a sleeping holder keeps the other namespaces of this host alive
  nsenter --net="/run/netns/$n" unshare --mount --uts --ipc --propagation private /bin/bash -c '
    hostname "$1"; mount -t tmpfs -o size=8g tmpfs /dev/shm; mount --bind "$2/hosts" /etc/hosts
    echo $$ >"$2/$1.pid"; exec sleep infinity' _ "fh$i" "$DIR" </dev/null >/dev/null 2>&1 &
  disown $!                                       # no "Killed" message at the end
  echo "fh$i slots=$SLOTS" >>"$DIR/hostfile"
done
for i in $(seq 1 "$HOSTS"); do
  for _ in $(seq 1 50); do [ -s "$DIR/fh$i.pid" ] && break; sleep 0.05; done; [ -s "$DIR/fh$i.pid" ]
done

# what mpirun calls instead of ssh: agent HOST COMMAND...
cat >"$DIR/agent" <<AGENT
#!/bin/bash
while [ "\${1#-}" != "\$1" ]; do shift; done       # ssh-like options
h=\$1; shift
exec nsenter -t "\$(cat "$DIR/\$h.pid")" --net --uts --ipc --mount --wd="\$PWD" /bin/sh -c "\$*"
AGENT
cat >"$DIR/ctl" <<CTL
#!/bin/bash
c=\$1 i=\$2; shift 2
case \$c in
  exec) exec "$DIR/agent" "fh\$i" "\$@" ;;
  pids) ip netns pids "fh$ID-\$i" ;;
  crash) for p in \$(ip netns pids "fh$ID-\$i"); do kill -9 \$p; done ;;
  unplug) ip link set "${BR}v\$i" down ;;
  plug) ip link set "${BR}v\$i" up ;;
esac
CTL
chmod +x "$DIR/agent" "$DIR/ctl"
[ -z "$VERBOSE" ] || echo "fake_hosts.sh: dir $DIR, subnet $NET.0/24" >&2

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_plm=rsh OMPI_MCA_plm_rsh_agent="$DIR/agent" OMPI_MCA_orte_default_hostfile="$DIR/hostfile"
export OMPI_MCA_btl_tcp_if_include="$NET.0/24" OMPI_MCA_oob_tcp_if_include="$NET.0/24"
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_hwloc_base_binding_policy=none
set +e
"$@" <&0 &
CHILD=$!
trap 'kill -TERM $CHILD 2>/dev/null' TERM
trap 'kill -INT $CHILD 2>/dev/null' INT
wait $CHILD; rc=$?
while kill -0 $CHILD 2>/dev/null; do wait $CHILD; rc=$?; done
exit $rc
