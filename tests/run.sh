#!/usr/bin/env bash
# Runs the tests, making the environment first if need be. Arguments go to pytest: bash tests/run.sh -m slow
set -euo pipefail
cd "$(dirname "$0")/.."
. utils/environment.sh

use_environment requirements.txt requirements-dev.txt || exit $?
exec "$PYTHON" -m pytest "$@"
