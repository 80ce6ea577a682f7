#!/usr/bin/env bash
# Installs the packages that gridmill needs on Debian 12 (13 is prepared, without a complete run yet), with sudo if not root.
#
# usage: install-packages.sh [--developer] [--check]
#   --developer  adds the tools of .ci/run: clang, sanitizer and fuzzer run-times, clang-format, clang-tidy, ccache, mmdebstrap,
#                and a Slurm for tests/slurm (its services are not needed)
#   --check      installs nothing; lists missing packages and fails if there are any
set -euo pipefail

# Build, link and run.
packages=(g++ make cmake ninja-build pkg-config git ca-certificates
          libopenmpi-dev openmpi-bin libhdf5-dev libboost-program-options-dev
          libfmt-dev nlohmann-json3-dev libxxhash-dev libpcre2-dev libutf8proc-dev libssl-dev
          zlib1g-dev libzstd-dev)
# The release preset builds tests and benchmarks too; h5py checks the written files, h5repack rewrites one, zstd
# packs and unpacks.
packages+=(libgtest-dev libbenchmark-dev python3-h5py hdf5-tools zstd)

check=false
for argument in "$@"; do
  case "$argument" in
    --developer) packages+=(clang libclang-rt-dev clang-format clang-tidy ccache mmdebstrap python3-venv
                            slurm-wlm munge iproute2 util-linux man-db zsh) ;;
    --check) check=true ;;
    *) echo "install-packages.sh: unknown argument $argument" >&2; exit 64 ;;
  esac
done

if ! command -v dpkg-query > /dev/null; then
  echo "install-packages.sh: this system has no dpkg; install the equivalents of: ${packages[*]}" >&2
  exit 69
fi

missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null || true) == installed ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "install-packages.sh: all ${#packages[@]} packages are installed"
  exit 0
fi
if $check; then
  echo "install-packages.sh: missing packages: ${missing[*]}" >&2
  exit 69
fi

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  if ! command -v sudo > /dev/null; then
    echo "install-packages.sh: run this as root, or install: ${missing[*]}" >&2
    exit 69
  fi
  as_root=(sudo)
fi
echo "install-packages.sh: installing ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -q -y --no-install-recommends "${missing[@]}" < /dev/null
echo "install-packages.sh: ${#missing[@]} packages installed"
