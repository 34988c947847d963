#!/usr/bin/env bash
# Trains: the embedded digits in a few minutes on two CPU cores, or DATA_NAME=Flower102 bash run_train.sh.
# Makes the environment first if need be. Further arguments go to train_solver.py: bash run_train.sh --max_steps 100
set -euo pipefail
cd "$(dirname "$0")"
. utils/environment.sh

data_name=${DATA_NAME:-Mnist_Mini} # an entry of Train_Data in config.yaml

use_environment requirements.txt || exit $?
exec "$PYTHON" train_solver.py --data_name "$data_name" "$@"
