#!/usr/bin/env bash
# Regenerates docs/experiments.md: trains what is needed, draws, measures, writes. The same command goes on where it was stopped.
# Edit the variables, or set them from outside; as they are, it takes a night on two cores.
# On a GPU: DATA_NAMES=Cifar10 STEPS=100000 PICTURES=2500 JOBS=1 bash run_experiments.sh
set -euo pipefail
cd "$(dirname "$0")"
. utils/environment.sh

data_names=${DATA_NAMES:-Mnist_Mini Emoji} # entries of config.yaml; what each of them takes part in is in benchmarks/experiments/table.py
experiments=${EXPERIMENTS:-}               # losses seeds samplers each_off parts interpolate, or some (empty: all)
steps=${STEPS:-4000}                       # of each training
pictures=${PICTURES:-1100}                 # a set that is measured; more for the variants, fewer for long chains
jobs=${JOBS:-2}                            # commands at a time (1 on a GPU)
runs=${RUNS:-train_results/experiments}    # where the trainings are kept
output=${OUTPUT:-docs/experiments}         # pictures and figures; the page lies beside it

use_environment requirements.txt requirements-evaluate.txt || exit $?
chosen=()
if [ -n "$experiments" ]; then read -ra chosen <<<"--experiments $experiments"; fi
for data_name in $data_names; do
    "$PYTHON" -m benchmarks.experiments.run --data_name "$data_name" --steps "$steps" --pictures "$pictures" \
        --jobs "$jobs" --runs "$runs" --output "$output" ${chosen[@]+"${chosen[@]}"}
done
"$PYTHON" -m benchmarks.experiments.page "$output"
