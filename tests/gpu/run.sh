#!/usr/bin/env bash
# Builds, tests and measures the cuda backend, made for ten minutes (not measured yet), on a machine that has an NVIDIA device, CUDA,
# CMake (3.25) and a C++ compiler, and nothing else of what gridmill needs: no MPI, no HDF5 (GRIDMILL_MPI=OFF).
#
# usage: bash tests/gpu/run.sh [--build-only]
#   --build-only  builds everything and stops; needs no device
# Environment:
#   OUT                   folder for the records (build/gpu/records)
#   BUILD_DIR             build/gpu
#   JOBS                  number of processors
#   GRIDMILL_CARRIED_DIR  headers and libraries from tests/gpu/carry.sh (build/carried, if it is there; else the system's)
# Exit status: 69 without a device or nvcc, 1 if something failed.
set -euo pipefail
cd "$(dirname "$0")/../.."

build_dir=${BUILD_DIR:-build/gpu}
jobs=${JOBS:-$(nproc)}
records=${OUT:-$build_dir/records}
carried=${GRIDMILL_CARRIED_DIR:-}
[[ -n $carried || ! -d build/carried ]] || carried=$PWD/build/carried
build_only=no
case ${1:-} in
  "") ;;
  --build-only) build_only=yes ;;
  *) echo "run.sh: unknown argument $1" >&2; exit 64 ;;
esac

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
missing() { echo "tests/gpu/run.sh: $*" >&2; exit 69; }

[[ -n $(command -v nvcc) ]] || PATH=$PATH:/usr/local/cuda/bin
[[ -n $(command -v nvcc) ]] || missing "nvcc is missing: put the CUDA toolkit on PATH"
architectures='80-real;90-real;90-virtual'
if [[ $build_only == no ]]; then
  devices=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader 2>/dev/null) && [[ -n $devices ]] ||
    missing "no NVIDIA device: nvidia-smi names none; --build-only builds without"
  say "Device: $devices"
  # Only for this device: a third of the time.
  architectures=$(head -n 1 <<< "$devices" | sed 's/.*, *//; s/\.//')-real
fi

say "Configure $build_dir: GRIDMILL_MPI=OFF, CUDA for $architectures${carried:+, libraries from $carried}"
generator=()
[[ -z $(command -v ninja) ]] || generator=(-G Ninja)
launcher=()
if [[ -n $(command -v ccache) ]]; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=$PWD
fi
cmake -S . -B "$build_dir" "${generator[@]}" "${launcher[@]}" -DCMAKE_BUILD_TYPE=Release -DGRIDMILL_DEVELOPER=ON \
  -DGRIDMILL_MPI=OFF -DGRIDMILL_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$architectures" "-DGRIDMILL_CARRIED_DIR=$carried"

say "Build with $jobs jobs"
cmake --build "$build_dir" --parallel "$jobs" --target gridmill_program tests_gpu device_products plain_golden_test

say "The program, and the plain golden cases on the host"
ctest --test-dir "$build_dir" --output-on-failure --no-tests=error -R '^(standalone_program_test|plain_golden_test)$'
[[ $build_only == no ]] || exit 0

mkdir -p "$records"
status=0
nvidia-smi > "$records/nvidia-smi.txt"
"$build_dir/src/gridmill" --version | tee "$records/version.txt"

say "Tests on the device"
ctest --test-dir "$build_dir" --output-on-failure --no-tests=error -L '^gpu$' --timeout 200 \
  --output-junit "$PWD/$build_dir/gpu-tests.xml" < /dev/null || status=1
cp "$build_dir/gpu-tests.xml" "$records/" || status=1

# A line a batch size; a shape that fails does not keep the other from being measured.
for shape in xlstm-7b llama-8b; do
  say "Speed of $shape"
  timeout 150 "$build_dir/src/gridmill" bench --backend cuda --shape "$shape" --batch 1,8,64,256 --prompt 256 --gen 64 \
    --repeat 2 | tee -a "$records/bench.jsonl" || status=1
done

say "Done: records in $records"
exit "$status"
