# Read by tests/gpu/grid.sh out of a folder that tests/gpu/carry_programs.sh has filled, as environment.sh, with `carried` as
# the folder's path: makes the carried Open MPI the one that is found, and finds the libraries of CUDA that are not carried.
# shellcheck shell=bash disable=SC2154
export PATH=$carried/bin:$PATH
# Open MPI looks for its plugins and messages below this in place of /usr; those of PMIx and hwloc are done without.
export OPAL_PREFIX=$carried PMIX_MCA_pcompress_base_silence_warning=1 HWLOC_PLUGINS_PATH=$carried/none
# One machine, without ssh.
export OMPI_MCA_plm=isolated
library_path=$carried/lib

# Folders that may hold libraries of CUDA: the toolkit's, and those of Python's packages.
cuda_folders() {
  printf '%s\n' "${CUDA_HOME:-/usr/local/cuda}/lib64" /usr/local/cuda/lib64 /usr/local/cuda/lib
  local python
  python=$(command -v python3) || return 0
  "$python" -c 'import site, sysconfig; print("\n".join([sysconfig.get_path("purelib"), *site.getsitepackages()]))' 2> /dev/null |
    sort -u | while read -r packages; do
      [[ ! -d $packages/nvidia ]] || find "$packages/nvidia" -maxdepth 3 -type d -name lib
    done
}
while read -r library; do
  found=
  while read -r folder; do
    if [[ -e $folder/$library ]]; then
      found=$folder
      break
    fi
  done < <(tr : '\n' <<< "${LD_LIBRARY_PATH:-}"; cuda_folders)
  # The linker's own folders need no mention.
  if [[ -z $found ]]; then
    ldconfig -p 2> /dev/null | grep -qF "$library" || {
      echo "environment.sh: $library is missing; put its folder on LD_LIBRARY_PATH" >&2
      exit 69
    }
  else
    library_path+=:$found
  fi
done < "$carried/device-libraries.txt"
export LD_LIBRARY_PATH=$library_path
