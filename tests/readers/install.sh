#!/usr/bin/env bash
# Makes a Python environment with the readers of readers_test.py (PyPI packages) in build/readers, where the test looks for it.
# May be run again at any time. Without it the test is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
environment=build/readers
if [[ -x $environment/bin/python ]] && "$environment/bin/python" -c 'import h5py, pandas, datasets' 2> /dev/null; then
  echo "readers/install.sh: $environment is complete"
  exit 0
fi
mkdir -p build
python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --disable-pip-version-check -r tests/readers/requirements.txt
echo "readers/install.sh: $("$environment/bin/pip" list 2> /dev/null | grep -E '^(h5py|pandas|datasets) ' | tr -s ' ' | paste -sd, -) in $environment"
