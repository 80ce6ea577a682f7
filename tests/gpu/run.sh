#!/usr/bin/env bash
# Builds, tests and measures the cuda backend on a machine that has an NVIDIA device, CUDA, CMake (3.25) and a C++ compiler, and
# nothing else of what gridmill needs: no MPI, no HDF5 (GRIDMILL_MPI=OFF). Made for ten minutes; has not run on a device yet.
#
# usage: bash tests/gpu/run.sh [--build-only] [STAGE...]     (every stage, in this order; each builds what it needs)
#   tests      label gpu, NCCL on one rank among them, and the golden cases on the host
#   bench      gridmill bench: decode at 1, 8, 64, 256 slots, a long context, prefill in chunks of 2,048
#   products   what batch invariance costs: every product beside a free choice of algorithms
#   peers      Hugging Face transformers beside it (Python with torch and transformers)
#   sanitizer  compute-sanitizer: memcheck, racecheck, synccheck
#   grid       grid matrix with ranks that share the device (needs the folder of tests/gpu/carry_programs.sh)
#   report     a table of all figures, from the records of this and earlier calls
#   --build-only  builds everything, checks what can be checked without a device, and stops
# Environment:
#   OUT                   folder that the records are copied to at the end (they are kept in BUILD_DIR/records)
#   BUILD_DIR             build/gpu
#   JOBS                  number of processors
#   ARCHITECTURES         with --build-only: what to compile for (80-real;90-real;90-virtual)
#   LIMIT                 seconds for everything (570): a stage that comes too late is not run, and fails
#   GRIDMILL_CARRIED_DIR  headers and libraries from tests/gpu/carry.sh (build/carried, if it is there; else the system's)
#   CARRIED_PROGRAMS      folder from tests/gpu/carry_programs.sh (build/carried-programs)
#   NCCL_ROOT             where NCCL is; without it the toolkit's, or that of Python's packages
#   PYTHON                python3: of the stages peers and report
# Exit status: 69 without a device or nvcc, 1 if something failed or was left out. A figure that is not reached is no failure.
# Stages run in shells of their own, under a time limit, and shellcheck sees no call.
# shellcheck disable=SC2317
set -euo pipefail
cd "$(dirname "$0")/../.."

build_dir=${BUILD_DIR:-build/gpu}
jobs=${JOBS:-$(nproc)}
limit=${LIMIT:-570}
carried=${GRIDMILL_CARRIED_DIR:-}
[[ -n $carried || ! -d build/carried ]] || carried=$PWD/build/carried
programs=${CARRIED_PROGRAMS:-build/carried-programs}
python=${PYTHON:-python3}
records=$build_dir/records
every_stage=(tests bench products peers sanitizer grid report)
build_only=no
stages=()
for argument in "$@"; do
  case $argument in
    --build-only) build_only=yes ;;
    tests | bench | products | peers | sanitizer | grid | report) stages+=("$argument") ;;
    *) echo "run.sh: unknown argument $argument" >&2; exit 64 ;;
  esac
done
[[ ${#stages[@]} -gt 0 ]] || stages=("${every_stage[@]}")

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }
missing() { echo "tests/gpu/run.sh: $*" >&2; exit 69; }

[[ -n $(command -v nvcc) ]] || PATH=$PATH:/usr/local/cuda/bin
[[ -n $(command -v nvcc) ]] || missing "nvcc is missing: put the CUDA toolkit on PATH"
architectures=${ARCHITECTURES:-'80-real;90-real;90-virtual'}
if [[ $build_only == no ]]; then
  devices=$(nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader 2>/dev/null) || devices=
  [[ -n $devices ]] || missing "no NVIDIA device: nvidia-smi names none; --build-only builds without"
  say "Device: $devices"
  IFS=, read -r device capability driver <<< "$(head -n 1 <<< "$devices" | sed 's/, */,/g')"
  # Only for this device: a third of the time.
  architectures=${capability/./}-real
fi

# NCCL of Python's packages, where the toolkit has none.
nccl_root=${NCCL_ROOT:-}
if [[ -z $nccl_root && ! -e $(dirname "$(command -v nvcc)")/../include/nccl.h && -n $(command -v "$python") ]]; then
  nccl_root=$("$python" -c 'import nvidia.nccl; print(list(nvidia.nccl.__path__)[0])' 2> /dev/null || true)
fi

say "Configure $build_dir: GRIDMILL_MPI=OFF, CUDA for $architectures${carried:+, libraries from $carried}${nccl_root:+, NCCL from $nccl_root}"
generator=()
[[ -z $(command -v ninja) ]] || generator=(-G Ninja)
launcher=()
if [[ -n $(command -v ccache) ]]; then
  launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=$PWD
fi
cmake -S . -B "$build_dir" "${generator[@]}" "${launcher[@]}" -DCMAKE_BUILD_TYPE=Release -DGRIDMILL_DEVELOPER=ON \
  -DGRIDMILL_MPI=OFF -DGRIDMILL_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=$architectures" "-DGRIDMILL_CARRIED_DIR=$carried" \
  "-DNCCL_ROOT=$nccl_root"
gridmill=$build_dir/src/gridmill

build() { # TARGET...
  say "Build $* with $jobs jobs"
  cmake --build "$build_dir" --parallel "$jobs" --target "$@"
}
host_checks() {
  ctest --test-dir "$build_dir" --output-on-failure --no-tests=error -R '^(standalone_program_test|plain_golden_test)$'
}
if [[ $build_only == yes ]]; then
  build gridmill_program tests_gpu device_products plain_golden_test
  say "The program, and the plain golden cases on the host"
  host_checks
  bash tests/gpu/sanitizer.sh --check "$build_dir/tests/gpu"
  exit 0
fi

mkdir -p "$records"
lines=$records/records.jsonl

stage_tests() {
  build gridmill_program tests_gpu plain_golden_test
  host_checks
  local status=0
  ctest --test-dir "$build_dir" --output-on-failure --no-tests=error -L '^gpu$' --timeout 200 \
    --output-junit "$PWD/$records/gpu-tests.xml" < /dev/null || status=1
  return "$status"
}

# A line a batch size; what fails does not keep the rest from being measured.
stage_bench() {
  build gridmill_program
  local shape status=0
  for shape in xlstm-7b llama-8b; do
    "$gridmill" bench --backend cuda --shape "$shape" --batch 1,8,64,256 --prompt 256 --gen 64 --repeat 2 | tee -a "$lines" || status=1
    "$gridmill" bench --backend cuda --shape "$shape" --batch 8 --prompt 2048 --gen 2 --pass-rows 2048 --repeat 2 | tee -a "$lines" || status=1
  done
  "$gridmill" bench --backend cuda --shape llama-8b --batch 64 --prompt 1024 --gen 64 --repeat 1 | tee -a "$lines" || status=1
  return "$status"
}

stage_products() {
  build device_products
  local shape status=0
  for shape in xlstm-7b llama-8b; do
    "$build_dir/tests/gpu/device_products" "$shape" 1,8,64,256,2048 | tee -a "$lines" || status=1
  done
  return "$status"
}

stage_peers() {
  local shape status=0
  for shape in llama-8b xlstm-7b; do
    "$python" tests/gpu/peers.py --shape "$shape" --batch 1,8,64 --prompt 256 --gen 64 --repeat 1 | tee -a "$lines" || status=1
  done
  return "$status"
}

stage_sanitizer() {
  build tests_gpu
  RUN_TIMEOUT=45 bash tests/gpu/sanitizer.sh "$build_dir/tests/gpu" "$records/sanitizer.log" | tee -a "$lines"
}

stage_grid() {
  [[ -d $programs ]] || { echo "run.sh: $programs is missing: fill it with tests/gpu/carry_programs.sh" >&2; return 1; }
  local status=0
  OUT=$records/grid CASES=${CASES:-bf16:sampled} GATHER_SHAPE=${GATHER_SHAPE:-llama-1b} bash tests/gpu/grid.sh "$programs" || status=1
  cat "$records/grid/grid.jsonl" >> "$lines" || status=1
  return "$status"
}

stage_report() {
  printf '{"record": "machine", "device": "%s", "driver": "%s", "version": "%s", "at": "%s"}\n' "$device" "$driver" \
    "$("$gridmill" --version | head -n 1)" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >> "$lines"
  "$python" tests/gpu/report.py "$records" | tee "$records/report.md"
}

# Seconds that a stage may take; all together more than LIMIT, since none is expected to.
declare -A most=([tests]=420 [bench]=200 [products]=120 [peers]=200 [sanitizer]=240 [grid]=240 [report]=30)
export build_dir jobs gridmill records lines programs python device driver
export -f say build host_checks
for stage in "${every_stage[@]}"; do export -f "stage_${stage?}"; done

status=0
nvidia-smi > "$records/nvidia-smi.txt" || status=1
summary=()
for stage in "${stages[@]}"; do
  start=$SECONDS
  left=$((limit - SECONDS))
  if ((left < 10)) && [[ $stage != report ]]; then
    summary+=("$(printf '%-10s %5s  NOT RUN: %d s are over; bash tests/gpu/run.sh %s' "$stage" - "$limit" "$stage")")
    status=1
    continue
  fi
  ((left > 10)) || left=10
  ((left < ${most[$stage]})) || left=${most[$stage]}
  say "Stage $stage, $left s at most"
  outcome=passed
  timeout --kill-after=5 "$left" bash -c "set -euo pipefail; stage_$stage" < /dev/null || outcome="FAILED ($?)"
  [[ $outcome != "FAILED (124)" ]] || outcome="FAILED: more than $left s"
  [[ $outcome == passed ]] || status=1
  summary+=("$(printf '%-10s %5d  %s' "$stage" $((SECONDS - start)) "$outcome")")
done

printf '\n%-10s %5s  %s\n' stage s outcome
printf '%s\n' "${summary[@]}" | tee "$records/stages.txt"
if [[ -n ${OUT:-} ]]; then
  mkdir -p "$OUT"
  find "$records" -maxdepth 1 -type f -exec cp {} "$OUT/" \;
fi
say "Done: records in $records${OUT:+, copied to $OUT}"
exit "$status"
