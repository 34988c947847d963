#!/usr/bin/env bash
# Runs the tests. What is missing of requirements-dev.txt is added to the virtual environment at hand if that meets
# requirements.txt, else to .venv, which is made if need be. Arguments go to pytest: bash tests/run.sh -m slow
set -euo pipefail
cd "$(dirname "$0")/.."
. utils/environment.sh

use_environment requirements.txt requirements-dev.txt || exit $?
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # a process a core, rather than all cores for each
exec "$PYTHON" -m pytest -n auto "$@"
