#!/usr/bin/env bash
# Fills a folder with what tests/gpu/grid.sh needs on a machine that has neither MPI nor HDF5: gridmill and make_models of a
# build, every shared library that they need but the C library's and CUDA's, and this machine's Open MPI (Debian's packages)
# with its launcher, plugins and messages. The other machine needs a C library that is not older, and the same architecture.
#
# usage: bash tests/gpu/carry_programs.sh [FOLDER]     (build/carried-programs, which git ignores)
# Environment: BUILD_DIR (build/cuda): where gridmill_program and make_models have been built
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-build/carried-programs}
build_dir=${BUILD_DIR:-build/cuda}

die() { echo "carry_programs.sh: $*" >&2; exit 69; }
programs=("$build_dir/src/gridmill" "$build_dir/tests/property/make_models")
for program in "${programs[@]}"; do
  [[ -x $program ]] || die "there is no $program: cmake --build $build_dir --target gridmill_program make_models"
done
plugins=/usr/lib/x86_64-linux-gnu/openmpi/lib/openmpi3
[[ -d $plugins ]] || die "there is no $plugins: Debian's Open MPI 4 is needed"

rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/lib/x86_64-linux-gnu/openmpi/lib/openmpi3" "$folder/share"
for program in "${programs[@]}"; do strip -o "$folder/bin/$(basename "$program")" "$program"; done
cp /usr/bin/orterun "$folder/bin/mpirun"
cp /usr/bin/orted "$folder/bin/"
cp -r /usr/share/openmpi "$folder/share/"

# Without those for networks, schedulers and OpenSHMEM, which bring libraries of their own: ranks share one machine.
for plugin in "$plugins"/mca_*.so; do
  case $(basename "$plugin") in
    *_ofi.so | *_ucx.so | *_psm*.so | *_openib.so | *slurm* | *flux* | *gridengine* | mca_memheap_* | mca_scoll_* | \
      mca_sshmem_* | mca_spml_* | mca_atomic_*) ;;
    *) cp "$plugin" "$folder/lib/x86_64-linux-gnu/openmpi/lib/openmpi3/" ;;
  esac
done

# What the machine itself has to bring: the C library, whose parts belong together, and what belongs to the device's driver.
is_the_machines() {
  [[ $1 =~ ^(ld-linux.*|linux-vdso|lib(c|m|dl|rt|pthread|resolv|util|anl|mvec|nsl))\.so ]]
}
is_cudas() { [[ $1 =~ ^lib(cuda|cudart|cublas|cublasLt|nccl|nvidia-.*)\.so ]]; }
: > "$folder/device-libraries.txt"
find "$folder" -type f \( -name '*.so*' -o -path '*/bin/*' \) -print0 | xargs -0 ldd 2> /dev/null |
  sed -nE 's/^\t([^ ]+) => (.*) \(0x.*$/\1 \2/p; s/^\t([^ ]+) => not found$/\1 -/p' | sort -u |
  while read -r name path; do
    if is_the_machines "$name"; then continue; fi
    if is_cudas "$name"; then echo "$name" >> "$folder/device-libraries.txt"; continue; fi
    [[ $path != - ]] || die "$name is not on this machine"
    cp -L "$path" "$folder/lib/$name"
  done
# libcuda comes with the driver, which puts it where the linker looks.
sed -i '/^libcuda\.so/d' "$folder/device-libraries.txt"
find "$folder/lib" -name '*.so*' -exec strip --strip-unneeded {} + 2> /dev/null
cp tests/gpu/carried_environment.sh "$folder/environment.sh"
echo "$folder: $(du -sh "$folder" | cut -f 1), $(tar -C "$folder" -cf - . | gzip | wc -c | awk '{printf "%.0f MB", $1 / 1e6}') as a compressed archive; needs of CUDA: $(xargs < "$folder/device-libraries.txt")"
