#!/usr/bin/env bash
# From a fresh clone to generated text: installs packages, builds, converts both shipped models, and lets each
# generate on a 2 x 2 (dp x fsdp) grid of MPI ranks. May be run again at any time; its outputs are in build/ and out/.
set -euo pipefail
# An installed gridmill (PREFIX/share/gridmill/jobs/quickstart.sh) is not built again: its jobs run in a new folder here.
share=$(cd "$(dirname "$0")/.." && pwd)

say() { printf '\n== %s\n' "$*"; }

if [[ -f $share/CMakeLists.txt ]]; then
  cd "$share"
  say "Packages (compiler, CMake, Open MPI, HDF5 and small libraries)"
  bash jobs/install-packages.sh

  say "Build (into build/quickstart)"
  mkdir -p build
  cmake -S . -B build/quickstart -DCMAKE_BUILD_TYPE=Release > build/quickstart.log 2>&1 ||
    { cat build/quickstart.log; exit 1; }
  cmake --build build/quickstart --parallel "$(nproc)" --target gridmill_program
  gridmill=$PWD/build/quickstart/src/gridmill
else
  gridmill=$share/../../bin/gridmill
  mkdir -p gridmill-quickstart
  cd gridmill-quickstart
  ln -sfn "$share/jobs" jobs
  ln -sfn "$share/models" models
fi
mkdir -p out

say "Convert the shipped models"
"$gridmill" convert models/stories260K/stories260K.bin out/stories260K.h5 --tokenizer models/stories260K/tok512.bin
"$gridmill" convert models/tiny-xlstm-shakespeare out/tiny-xlstm-shakespeare.h5

# Four ranks wherever this runs: a laptop may have fewer cores, a container may run as root.
# All of them are on this machine: Open MPI 5 complains about network interfaces that it cannot use, so it gets one.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl_tcp_if_include=lo
launch=(mpirun -n 4 --oversubscribe --bind-to none)

for job in stories shakespeare; do
  say "Generate: jobs/$job.cfg on a 2 x 2 grid"
  echo "${launch[*]} gridmill generate --config jobs/$job.cfg --dp 2 --fsdp 2"
  "${launch[@]}" "$gridmill" generate --config "jobs/$job.cfg" --dp 2 --fsdp 2
  "$gridmill" export "out/$job.h5" --format jsonl -o "out/$job.jsonl"
  "$gridmill" report "out/$job.h5" -o "out/$job.html"
done

for job in stories shakespeare; do
  say "Some of out/$job.h5 (all of it as text: out/$job.jsonl)"
  "$gridmill" export "out/$job.h5" --format text | sed -n '1,12p'
done

say "Result files"
for job in stories shakespeare; do
  "$gridmill" status "out/$job.h5"
  echo "$PWD/out/$job.h5"
done

say "Reports (open them in a browser)"
for job in stories shakespeare; do
  echo "$PWD/out/$job.html"
done
