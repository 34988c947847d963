#!/usr/bin/env bash
# Everything that is to be measured on a GPU, in the order of its worth, as far as half an hour on one card goes: benchmarks/README.md,
# "On a GPU". What is done is not done again: the same command goes on where it was stopped, and says at the end what is left.
# MINUTES=30 bash benchmarks/gpu.sh    The figures are then in benchmarks/results/*_cuda.json, and in benchmarks/README.md.
set -uo pipefail
cd "$(dirname "$0")/.."
. utils/environment.sh

minutes=${MINUTES:-30}                  # after which no other is begun, and the one at work is stopped
logs=${LOGS:-results/gpu}               # what each printed; NAME.done marks what is done
device=${DEVICE:-cuda}                  # cpu: to see that the script works, not for its figures
results=benchmarks/results

# Name, and what is run; "python" is the environment's.
steps=(
    "tests                bash tests/run.sh -m cuda -n 6"
    "train_throughput     python benchmarks/train_throughput.py"
    "sample_throughput    python benchmarks/sample_throughput.py"
    "profile_step         python benchmarks/profile_step.py"
    "formulations         python benchmarks/formulations.py --bf16 --compile"
    "time_to_quality      python benchmarks/time_to_quality.py --epochs 13 50 --marks 10 30 90 180 300"
    "time_to_quality_cfg  python benchmarks/time_to_quality.py --guided --epochs 13 50 --marks 10 30 90 180 300 --output $results/time_to_quality_guided_$device.json"
    "solvers              python benchmarks/sample_throughput.py --solvers --batch_size 256 --output $results/solvers_$device.json"
    "memory               python benchmarks/memory.py --size ddpm"
    "data_pipeline        python benchmarks/data_pipeline.py"
)

use_environment requirements.txt requirements-dev.txt requirements-evaluate.txt benchmarks/requirements.txt || exit $?
"$PYTHON" -c "import torch; d = torch.device('$device'); print(d, torch.cuda.get_device_name() if d.type == 'cuda' else '', torch.__version__); torch.ones(1, device=d)" || {
    echo "error: PyTorch cannot use $device here: nothing was measured" >&2
    exit 2
}
mkdir -p "$logs"
export PYTHON # tests/run.sh takes the same
end=$((SECONDS + 60 * minutes))
left=()
for step in "${steps[@]}"; do
    read -r name command <<<"$step"
    if [ -e "$logs/$name.done" ]; then
        continue
    fi
    remaining=$((end - SECONDS))
    if [ "$remaining" -le 0 ]; then
        left+=("$name: not begun")
        continue
    fi
    case $command in python*) command="$PYTHON${command#python} --device $device" ;; esac
    echo "== $name: $command"
    read -ra words <<<"$command"
    if timeout --signal INT --kill-after 30 "$remaining" "${words[@]}" 2>&1 | tee "$logs/$name.log"; then
        touch "$logs/$name.done"
    else
        left+=("$name: see $logs/$name.log")
    fi
done
"$PYTHON" benchmarks/tables.py
if [ ${#left[@]} -gt 0 ]; then
    printf 'Left:    %s\n' "${left[@]}"
    echo "The same command goes on with these."
    exit 1
fi
echo "Nothing is left. Send $results/*_$device.json and $logs/*.log."
