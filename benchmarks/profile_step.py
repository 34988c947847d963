"""Where a training step and a call of drawing spend their time, by operator: the profile behind the other figures.

    python benchmarks/profile_step.py --device cpu

Shares of the operators' own time, as torch.profiler counts it; on a GPU of the network as it is written, not as CUDA graphs.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.autograd import DeviceType  # noqa: E402
from torch.autograd.profiler_util import FunctionEventAvg  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402

from benchmarks.contestants import How, ours  # noqa: E402
from benchmarks.formulations import batch_size_of  # noqa: E402
from benchmarks.side_by_side import parser, write_result  # noqa: E402
from benchmarks.workloads import PLAIN  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.precision import pick_precision  # noqa: E402

GROUPS = {
    "convolution, backward": ("convolution_backward", "slow_conv2d_backward", "convolution_weight"),
    "convolution": ("convolution", "conv2d"),
    "matrix products": ("bmm", "::mm", "addmm", "attention", "gemm"),
    "GroupNorm": ("group_norm",),
    "SiLU": ("silu",),
    "optimizer, EMA, gradient's norm": ("adam", "lerp", "vector_norm", "foreach", "zero_grad"),
    "copies and joins": ("copy_", "::cat", "fill_", "zero_", "::empty"),
}


def group_of(operator: str) -> str:
    """The group whose names occur in the operator's."""
    lower = operator.lower()
    return next((group for group, names in GROUPS.items() if any(name in lower for name in names)), "the rest")


def shares(call, times: int, device: str) -> dict[str, float]:
    """The share of each group in the operators' own time, largest first."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    call()
    with profile(activities=activities) as found:
        for _ in range(times):
            call()
    spent = spent_by_group(found.key_averages(), device)
    total = sum(spent.values())
    return {group: own / total for group, own in sorted(spent.items(), key=lambda item: -item[1])}


def spent_by_group(events: Iterable[FunctionEventAvg], device: str) -> dict[str, float]:
    """The microseconds of each group's operators on `device`. A GPU's kernels are events, too, beside the operators that
    launched them, and their time is those operators' already."""
    spent: dict[str, float] = {}
    for event in events:
        if event.device_type == DeviceType.CPU:
            own = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
            spent[group_of(event.key)] = spent.get(group_of(event.key), 0.0) + own
    return spent


def main() -> None:
    options = parser(__doc__, "profile_step")
    options.add_argument("--data_names", nargs="+", default=["Mnist_Mini", "Cifar10"], metavar="NAME")
    options.add_argument("--batch_size", type=int, help="(by data set)")
    options.add_argument("--times", type=int, default=5)
    args = options.parse_args()
    rows = []
    for data_name in args.data_names:
        size = batch_size_of(load_settings("config.yaml", data_name), args)
        # Random pictures have no labels; the kernels of a CUDA graph cannot be told apart by operator.
        overrides = [f"train.batch_size={size}", "model.dropout=0", "run.compile=false", *PLAIN]
        settings = load_settings("config.yaml", data_name, overrides)
        data = settings.data
        shape = (2 * size, data.image_channel, data.image_size, data.image_size)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        precision = pick_precision("auto", torch.device(args.device))
        contestant = ours(settings, images, How(args.device, size, precision=precision))
        for work, call in (("train", contestant.step), ("draw", lambda each=contestant, size=size: each.draw(size, 1))):
            found = shares(call, args.times, args.device)
            rows.append({"network": data_name, "work": work, "batch_size": size, **found})
            print(rows[-1], flush=True)
    write_result(args, rows)


if __name__ == "__main__":
    main()
