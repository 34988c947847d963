#!/usr/bin/env bash
# Opens the page: draw, compare, interpolate, repair, understand, watch a training. Edit the variables, or set them from outside.
# Makes the environment first if need be. Further arguments go to demo.py: HOST=0.0.0.0 bash run_demo.sh --auth me:secret
set -euo pipefail
cd "$(dirname "$0")"
. utils/environment.sh

model_path=${MODEL_PATH:-} # one or several checkpoints (empty: all in checkpoints/ and train_results/)
host=${HOST:-127.0.0.1}    # 0.0.0.0: for every machine that reaches this one; ask for a password then
port=${PORT:-}             # (empty: the first free one from 7860 on)

use_environment requirements.txt requirements-demo.txt || exit $?
arguments=(--host "$host")
if [ -n "$model_path" ]; then read -ra paths <<<"$model_path" && arguments+=(--model_path "${paths[@]}"); fi
if [ -n "$port" ]; then arguments+=(--port "$port"); fi
exec "$PYTHON" demo.py "${arguments[@]}" "$@"
