"""The same network in other formulations, in turns: channels last, another precision, compiled. What `auto` should choose.

    python benchmarks/formulations.py --device cpu --clock cpu
    python benchmarks/formulations.py --device cpu --clock cpu --data_names Mnist_Mini --compile

Each is the bare network of an entry of config.yaml: forward and backward ("train"), or forward alone ("draw").
"""

import copy
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders

from benchmarks.side_by_side import parser, ratio, take_turns, write_result  # noqa: E402
from models import build_model  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.device import at_precision  # noqa: E402

BATCHES = {"Mnist_Mini": 16, "Emoji": 32, "Cifar10": 4}  # on a CPU; others: 16


def formulations(model: nn.Module, args) -> dict[str, tuple[nn.Module, str]]:
    """By name: the network, and the precision that it is called in."""
    lasting = copy.deepcopy(model).to(memory_format=torch.channels_last)
    found = {"as it is": (model, "fp32"), "channels last": (lasting, "fp32")}
    if args.bf16:
        found |= {"bf16": (model, "bf16"), "bf16, channels last": (lasting, "bf16")}
    if args.compile:
        for name, (network, precision) in list(found.items()):
            compiled = copy.deepcopy(network)
            compiled.compile()
            found[f"{name}, compiled"] = (compiled, precision)
    return found


def call_of(network: nn.Module, precision: str, work: str, batch: tuple, device: str) -> Callable[[], object]:
    """A step of `work`, train or draw, on the batch (x_t, t)."""
    call = at_precision(network, precision, torch.device(device))
    if work == "train":
        return lambda: call(*batch).square().mean().backward()
    return torch.no_grad()(lambda: call(*batch))


def main() -> None:
    options = parser(__doc__, "formulations")
    options.add_argument("--data_names", nargs="+", default=["Mnist_Mini", "Emoji", "Cifar10"], metavar="NAME")
    options.add_argument("--work", nargs="+", choices=["train", "draw"], default=["train", "draw"])
    options.add_argument("--batch_size", type=int, help="(by data set)")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--compile", action="store_true", help="also compiled, which takes minutes on a CPU")
    options.add_argument("--bf16", action="store_true")
    args = options.parse_args()
    rows = []
    for data_name in args.data_names:
        settings = load_settings("config.yaml", data_name)
        size = args.batch_size or BATCHES.get(data_name, 16)
        shape = (size, settings.data.image_channel, settings.data.image_size, settings.data.image_size)
        batch = torch.randn(shape, device=args.device), torch.randint(0, 1000, (size,), device=args.device)
        for work in args.work:
            model = build_model(**settings.model_arguments()).to(args.device).train(work == "train")
            calls = {
                name: call_of(network, precision, work, batch, args.device)
                for name, (network, precision) in formulations(model, args).items()
            }
            seconds = take_turns(calls, args.rounds, args.device, args.clock, warm_up=2)
            rows += [
                {
                    "network": data_name,
                    "work": work,
                    "batch_size": size,
                    "formulation": name,
                    "ms": 1000 * statistics.median(times),
                    "times_as_fast_as_it_is": ratio(seconds, name, "as it is"),
                }
                for name, times in seconds.items()
            ]
    write_result(args, rows)


if __name__ == "__main__":
    main()
