#!/usr/bin/env bash
# Runs the tests, making the environment first if need be. Arguments go to pytest: bash tests/run.sh -m slow
set -euo pipefail
cd "$(dirname "$0")/.."
. utils/environment.sh

use_environment requirements.txt requirements-dev.txt || exit $?
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # a process a core, rather than all cores for each
exec "$PYTHON" -m pytest -n auto "$@"
