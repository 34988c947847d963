#!/usr/bin/env bash
# Draws from a trained model. Edit the variables, or set them from outside: SAMPLE_INFO=DDPM_1000_0p0 bash run_test.sh
# Makes the environment first if need be. Further arguments go to test_solver.py: bash run_test.sh --seed 100
set -euo pipefail
cd "$(dirname "$0")"
. utils/environment.sh

model_path=${MODEL_PATH:-checkpoints/mnist_mini.safetensors} # or train_results/NAME/model.safetensors
test_mode=${TEST_MODE:-random_gen interpolate}               # one or several; python test_solver.py --help names them
sample_info=${SAMPLE_INFO:-DDIM_50_0p0}                      # METHOD_STEPS_ETA: DDPM_1000_0p0, DDPM_50_0p0, DDIM_50_0p0 ... (compare: or several)
sample_num=${SAMPLE_NUM:-}                                   # pictures, or pairs to interpolate (empty: 64, and 10 pairs)
image_size=${IMAGE_SIZE:-}                                   # these three stand in the checkpoint; if given, they are checked
image_channel=${IMAGE_CHANNEL:-}
training_timestep_num=${TRAINING_TIMESTEP_NUM:-}
data_name=${DATA_NAME:-} # where the real pictures come from (empty: the checkpoint's own data set)
data_path=${DATA_PATH:-} # the folder of pictures, or where the data set lies

# Each variable is passed on if one of the modes takes it; modes/ knows which do, and what they need.
read -ra modes <<<"$test_mode"
read -ra requirements <<<"$("${PYTHON:-python3}" -m modes requirements "${modes[@]}" 2>/dev/null)"
use_environment "${requirements[@]}" || exit $?
arguments=()
for name in $("$PYTHON" -m modes options "${modes[@]}"); do
    if [ -n "${!name:-}" ]; then
        values=("${!name}")
        case $name in test_mode | sample_info) read -ra values <<<"${!name}" ;; esac
        arguments+=("--$name" "${values[@]}")
    fi
done
exec "$PYTHON" test_solver.py "${arguments[@]}" "$@"
