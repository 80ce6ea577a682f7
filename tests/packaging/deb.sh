#!/usr/bin/env bash
# The Debian package on a bare Debian 12: it installs, runs the quickstart's jobs, has manual pages and completions, and programs
# of others link what `cmake --install` leaves through pkg-config. Needs root, mmdebstrap, network; lintian where it is there.
#
# usage: deb.sh [BUILD_DIR]      (build/release, of the release preset)
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$PWD/${1:-build/release}
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
say() { printf '\n== %s\n' "$*"; }
[[ $(id -u) -eq 0 ]] || { echo "deb.sh: needs root, to make a root file system" >&2; exit 69; }

say "Package"
(cd "$build" && cpack -B "$work" > "$work/cpack.log") || { cat "$work/cpack.log" >&2; exit 1; }
package=$(ls "$work"/gridmill_*_amd64.deb)
dpkg-deb --info "$package" | grep -E '^ (Version|Depends|Installed-Size)'
if command -v lintian > /dev/null; then
  lintian --allow-root --fail-on error "$package"
else
  echo "skipped: no lintian here"
fi

say "Bare Debian 12"
apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date|ForceIPv)' > "$work/apt.conf" || true
chmod 755 "$work"
mmdebstrap --quiet --mode=root --variant=minbase --include=man-db,bash-completion --aptopt="$work/apt.conf" \
  --customize-hook="copy-in $package /tmp" \
  --customize-hook="chroot \"\$1\" sh -c 'apt-get install -q -y --no-install-recommends /tmp/$(basename "$package")'" \
  bookworm "$work/root" < /dev/null > "$work/root.log" 2>&1 || { tail -20 "$work/root.log" >&2; exit 1; }
cp /etc/hosts "$work/root/etc/hosts"
cat > "$work/root/tmp/inside.sh" << 'END'
set -euo pipefail
cd /root
bash /usr/share/gridmill/jobs/quickstart.sh | tail -12
page=$(man gridmill-generate)
grep -q -- --temperature <<< "$page"
source /usr/share/bash-completion/bash_completion
source /usr/share/bash-completion/completions/gridmill
COMP_WORDS=(gridmill generate --te) COMP_CWORD=2
_gridmill
printf 'gridmill generate --te<TAB>: %s\n' "${COMPREPLY[*]}"
[[ ${COMPREPLY[*]} == *--temperature* ]]
END
unshare --mount --propagation private --pid --fork --kill-child bash -c '
  set -eu
  mount -t proc proc "$1/proc"; mount -t sysfs -o ro sysfs "$1/sys"; mount --rbind /dev "$1/dev"
  mount -t tmpfs tmpfs "$1/dev/shm"
  exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 bash /tmp/inside.sh
' deb "$work/root" < /dev/null
say "passed"
