#!/usr/bin/env bash
# The README's two commands on a machine that has nothing: makes a bare Debian root, fetches the committed state of this
# repository into it, and runs jobs/quickstart.sh and tests/run.sh there. Needs root, mmdebstrap and network; takes about 3 GB
# in build/ while it runs and leaves nothing behind, mounts included (they live in a namespace of their own).
#
# usage: run.sh [SUITE] [--short] [--first] [--keep] [-- COMMAND]
#   SUITE      bookworm (Debian 12, the default) or trixie (Debian 13)
#   --short    of the tests, runs those labelled unit, architecture and golden only
#   --first    runs the first command only: it builds the program and lets it generate
#   --keep     keeps the root folder, for a look
#   -- COMMAND runs this instead of the two commands, in the clone
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
suite=bookworm

short=false first=false keep=false commands=()
while [[ $# -gt 0 ]]; do
  case "$1" in
    bookworm | trixie) suite=$1 ;;
    --short) short=true ;;
    --first) first=true ;;
    --keep) keep=true ;;
    --) shift; commands=("$*"); break ;;
    *) echo "fresh/run.sh: unknown argument $1" >&2; exit 64 ;;
  esac
  shift
done
if [[ ${#commands[@]} -eq 0 ]]; then
  if $first; then
    commands=("bash jobs/quickstart.sh")
  elif $short; then
    commands=("bash jobs/quickstart.sh" "LABELS='^(unit|architecture|golden)$' bash tests/run.sh")
  else
    commands=("bash jobs/quickstart.sh" "bash tests/run.sh")
  fi
fi

[[ $(id -u) -eq 0 ]] || { echo "fresh/run.sh: needs root, to make a root file system" >&2; exit 69; }
for tool in mmdebstrap unshare chroot; do
  command -v "$tool" > /dev/null || { echo "fresh/run.sh: needs $tool; see jobs/install-packages.sh --developer" >&2; exit 69; }
done

say() { printf '\n== %s (%s)\n' "$*" "$(date -u +%H:%M:%S)"; }

mkdir -p build
work=$(mktemp -d "$repository/build/fresh.XXXXXX")
root=$work/root
cleanup() {
  if $keep; then
    echo "kept: $root"
  else
    rm -rf --one-file-system "$work"
  fi
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

# Where and how this machine gets its Debian packages: its sources, with the suite in place of its own, and its settings for
# downloads.
own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
  if [[ -n $own && -s $file ]] && grep -v '^#' "$file" | grep -qw "$own" && grep -v '^#' "$file" | grep -q '/debian'; then
    sed -E "s/\b$own\b/$suite/g" "$file" > "$work/$(basename "$file")"
    sources+=("$work/$(basename "$file")")
  fi
done
apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date|ForceIPv)' > "$work/apt.conf" || true

say "Bare root of $suite from ${sources[*]:-the default mirror}"
chmod 755 "$work"  # apt downloads as a user of its own
mmdebstrap --quiet --mode=root --variant=minbase --include=git,ca-certificates --aptopt="$work/apt.conf" \
  "$suite" "$root" "${sources[@]}" < /dev/null
# Certificates that this machine trusts beyond Debian's, for mirrors behind a proxy.
cp /etc/resolv.conf "$root/etc/resolv.conf"
# A machine knows its own name; mpirun asks for it at every start.
cp /etc/hosts "$root/etc/hosts"
if [[ -d /usr/local/share/ca-certificates ]]; then
  cp -r /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
fi

common=$(git rev-parse --path-format=absolute --git-common-dir)
commit=$(git rev-parse HEAD)
say "Clone of $(git log -1 --format='%h %s')"
mkdir -p "$root/mnt/repository"
cat > "$root/root/inside.sh" << END
set -euo pipefail
update-ca-certificates > /dev/null 2>&1
git config --global --add safe.directory '*'
git init -q /root/gridmill
cd /root/gridmill
git fetch -q --depth 1 file:///mnt/repository $commit
git -c advice.detachedHead=false checkout -q FETCH_HEAD
END
for command in "${commands[@]}"; do
  {
    printf 'printf "\\n== Inside: %%s (%%s)\\n" %q "$(date -u +%%H:%%M:%%S)"\n' "$command"
    printf 'bash -c %q\n' "$command"
  } >> "$root/root/inside.sh"
done

# Leaving the namespace unmounts everything and ends every process in it, whatever happens.
status=0
unshare --mount --propagation private --pid --fork --kill-child bash -c '
  set -eu
  root=$1 common=$2
  mount --bind "$common" "$root/mnt/repository"
  mount -o remount,bind,ro "$root/mnt/repository"
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"  # the topology, or hwloc complains on stderr
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/dev/shm"
  mount -t tmpfs tmpfs "$root/tmp"
  exec chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" no_proxy="${no_proxy:-}" \
    JOBS="${JOBS:-}" bash /root/inside.sh
' fresh "$root" "$common" < /dev/null || status=$?

say "Bare root: exit status $status"
exit "$status"
