#!/usr/bin/env bash
# compute-sanitizer over tests of the label gpu: memcheck on one case or more of every kernel and on whole models, racecheck
# and synccheck on the kernels that share memory between threads. A JSON line a run on stdout, the tool's words in a log.
#
# usage: bash tests/gpu/sanitizer.sh FOLDER LOG   (FOLDER: the built tests, e.g. build/gpu/tests/gpu)
#        bash tests/gpu/sanitizer.sh --check FOLDER   only: every filter names a test
# Environment: RUN_TIMEOUT (60): seconds of one run; compute-sanitizer slows a test down 10 to 100 times
# Exit status: 69 without compute-sanitizer, 1 if it found something, a test failed or took too long.
set -euo pipefail

kernels='Rules/Accuracy.*/cuda_bf16:Rules/AttentionAccuracy.*:Rules/SequenceAccuracy.*:Backends/Invariance.AttentionDoesNotDependOnCuts/cuda_bf16:Backends/Invariance.MlstmDoesNotDependOnCuts/cuda_bf16:Backends/RowCounts.DoNotChangeAGatedProduct/cuda_bf16'
more='Rules/Accuracy.*/cuda_fp32:Backends/RowCounts.DoNotChangeARowParallelProduct/*:Backends/Invariance.EveryTpSizeGivesTheSameSelection/cuda_bf16:Backends/Invariance.ShardsOfAnEmbeddingTableFillOnlyTheirRows/cuda_bf16:Backends/State.*/cuda_bf16:Backends/RowCounts.DoNotChangeAProductWithManyOutputs/cuda_bf16:Backends/Invariance.AWindowMayEndSplitsBefore/cuda_bf16'
models='Models/ModelOnCuda.GeneratesTheSameRowsWithAnySlotsAndOnReplay/llama_full_bf16:Models/ModelOnCuda.GeneratesTheSameRowsWithAnySlotsAndOnReplay/xlstm_full_bf16:Models/ModelOnCuda.HasTheReferencesLogitsWithinRoundings/xlstm_older_conv_fp32'
# Tool, test, filter: one a line.
runs="memcheck gpu_promises_test $kernels:$more
memcheck gpu_exact_test *
memcheck gpu_limits_test *
memcheck gpu_models_test $models
racecheck gpu_promises_test $kernels
racecheck gpu_exact_test ExactOnCuda.SelectionFromTheSameLogits:ExactOnCuda.RowParallelProductsAreTheFixedBlocksAndTree
synccheck gpu_promises_test $kernels
synccheck gpu_exact_test *"

check_filters() { # FOLDER
  local test filter pattern status=0
  while read -r _ test filter; do
    while read -r -d : pattern; do
      [[ -n $("$1/$test" --gtest_list_tests "--gtest_filter=$pattern" | grep '^  ' || true) ]] ||
        { echo "sanitizer.sh: $test has no test $pattern" >&2; status=1; }
    done <<< "$filter:"
  done <<< "$runs"
  return "$status"
}
if [[ ${1:-} == --check ]]; then
  check_filters "$2"
  exit
fi
[[ $# == 2 ]] || { echo "usage: sanitizer.sh FOLDER LOG" >&2; exit 64; }
folder=$1 log=$2
limit=${RUN_TIMEOUT:-60}
[[ -n $(command -v compute-sanitizer) ]] || PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
[[ -n $(command -v compute-sanitizer) ]] ||
  { echo "sanitizer.sh: compute-sanitizer is missing; it comes with the CUDA toolkit" >&2; exit 69; }
check_filters "$folder"
: > "$log"

failed=0
while read -r tool test filter; do
  start=$SECONDS
  status=0
  printf '\n==== %s %s %s\n' "$tool" "$test" "$filter" >> "$log"
  # Its own exit code for what it finds; a failing test keeps that of GoogleTest.
  timeout "$limit" compute-sanitizer --tool "$tool" --error-exitcode 86 "$folder/$test" "--gtest_filter=$filter" \
    >> "$log" 2>&1 < /dev/null || status=$?
  case $status in
    0) outcome=clean ;;
    86) outcome="errors found" ;;
    124) outcome="not finished in $limit s" ;;
    *) outcome="exit status $status" ;;
  esac
  [[ $status == 0 ]] || failed=1
  printf '{"record": "sanitizer", "tool": "%s", "test": "%s", "outcome": "%s", "seconds": %d}\n' \
    "$tool" "$test" "$outcome" $((SECONDS - start))
done <<< "$runs"
exit "$failed"
