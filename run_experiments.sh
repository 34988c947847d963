#!/usr/bin/env bash
# Regenerates docs/experiments.md: trains what is needed, draws, measures, writes. The same command goes on where it was stopped.
# What is trained, drawn and claimed is fixed in benchmarks/experiments/table.py. About two hours of one core.
set -euo pipefail
cd "$(dirname "$0")"
. utils/environment.sh

data_names=${DATA_NAMES:-Mnist_Mini Emoji Shipped_Digits} # of benchmarks/experiments/table.py
runs=${RUNS:-train_results/experiments}    # where the trainings are kept
output=${OUTPUT:-docs/experiments}         # figures and pictures; the page lies beside it

use_environment requirements.txt requirements-evaluate.txt || exit $?
read -ra chosen <<<"$data_names"
"$PYTHON" -m benchmarks.experiments.run --data_names "${chosen[@]}" --runs "$runs" --output "$output"
"$PYTHON" -m benchmarks.experiments.page --output "$output"
if [ "$output" = docs/experiments ]; then "$PYTHON" -m benchmarks.readme_tables; fi
