#!/usr/bin/env bash
# Power cuts while a job writes its result file: 50 on ext4, 50 on xfs, and on each a control with fdatasync stubbed out, which
# has to lose rows. See suite/power_loss.py.
#
# usage: power-loss.sh [CUTS per file system]      Environment: BUILD_DIR (build/release)
# Needs root, loop devices, mkfs.ext4, mkfs.xfs (Debian: e2fsprogs, xfsprogs), and a python3 with h5py.
set -euo pipefail
cd "$(dirname "$0")/../.."
cuts=${1:-50}
build=${BUILD_DIR:-build/release}
if [[ -z ${GRIDMILL_OWN_MOUNTS:-} ]]; then
  # Mounts of its own: a name space that somebody else makes meanwhile would hold on to a file system that was cut off.
  GRIDMILL_OWN_MOUNTS=1 exec unshare --mount --propagation private bash "$PWD/tests/crash/power-loss.sh" "$@"
fi
echo "| file system | cuts | rows in flight | acknowledged rows | lost |"
echo "|---|---|---|---|---|"
for kind in ext4 xfs; do
  bash tests/crash/run-python.sh "$build" power_loss.py --kind "$kind" --cuts "$cuts"
  bash tests/crash/run-python.sh "$build" power_loss.py --kind "$kind" --cuts 5 --control
done
