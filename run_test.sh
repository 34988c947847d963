#!/usr/bin/env bash
# Draws from a trained model. Edit the variables, or set them from outside: SAMPLE_INFO=DDPM_1000_0p0 bash run_test.sh
# Makes the environment first if need be. Further arguments go to test_solver.py: bash run_test.sh --seed 100
set -euo pipefail
cd "$(dirname "$0")"
. utils/environment.sh

model_path=${MODEL_PATH:-checkpoints/mnist_mini.safetensors} # or train_results/NAME/model.safetensors
test_mode=${TEST_MODE:-random_gen interpolate}               # random_gen, interpolate (between real pictures), reconstruct, evaluate, likelihood, compare, report; or several
sample_info=${SAMPLE_INFO:-DDIM_50_0p0}                      # METHOD_STEPS_ETA: DDPM_1000_0p0, DDPM_50_0p0, DDIM_50_0p0 ... (compare: or several)
sample_num=${SAMPLE_NUM:-}                                   # pictures, or pairs to interpolate (empty: 64, and 10 pairs)
image_size=${IMAGE_SIZE:-}                                   # these three stand in the checkpoint; if given, they are checked
image_channel=${IMAGE_CHANNEL:-}
training_timestep_num=${TRAINING_TIMESTEP_NUM:-}
data_name=${DATA_NAME:-} # all but random_gen: where the real pictures come from (empty: the checkpoint's own data set)
data_path=${DATA_PATH:-} # all but random_gen: the folder of pictures, or where the data set lies

requirements=(requirements.txt)
case " $test_mode " in *" evaluate "* | *" likelihood "* | *" compare "*) requirements+=(requirements-evaluate.txt) ;; esac
use_environment "${requirements[@]}" || exit $?
arguments=(--model_path "$model_path")
for name in sample_num image_size image_channel training_timestep_num; do
    if [ -n "${!name}" ]; then arguments+=("--$name" "${!name}"); fi
done
for mode in $test_mode; do
    data=()
    if [ "$mode" != random_gen ] && [ "$mode" != compare ] && [ "$mode" != report ]; then
        if [ -n "$data_name" ]; then data+=(--data_name "$data_name"); fi
        if [ -n "$data_path" ]; then data+=(--data_path "$data_path"); fi
    fi
    sampler=(--sample_info)
    for text in $sample_info; do sampler+=("$text"); done
    if [ "$mode" = likelihood ] || [ "$mode" = report ]; then sampler=(); fi # one takes every step of the training, one none
    "$PYTHON" test_solver.py --test_mode "$mode" "${arguments[@]}" ${sampler[@]+"${sampler[@]}"} ${data[@]+"${data[@]}"} "$@"
done
