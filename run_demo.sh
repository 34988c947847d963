#!/usr/bin/env bash
# Opens the page: draw, compare, interpolate, repair, understand, watch a training. Edit the variable, or set it from outside.
# Makes the environment first if need be. Further arguments go to demo.py: bash run_demo.sh --host 0.0.0.0 --auth me:secret
set -euo pipefail
cd "$(dirname "$0")"
. utils/environment.sh

model_path=${MODEL_PATH:-} # one or several checkpoints (empty: all in checkpoints/ and train_results/)

use_environment requirements.txt requirements-demo.txt || exit $?
read -ra paths <<<"$model_path"
if [ ${#paths[@]} -gt 0 ]; then set -- --model_path "${paths[@]}" "$@"; fi
exec "$PYTHON" demo.py "$@"
