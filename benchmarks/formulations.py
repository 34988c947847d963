"""The same network in other formulations, in turns: channels last, another precision, PyTorch's fused attention, compiled.

What `auto` should choose, and what models/blocks.py should say.

    python benchmarks/formulations.py --device cpu --clock cpu --bf16
    python benchmarks/formulations.py --device cpu --clock cpu --bf16 --give_memory_back
    python benchmarks/formulations.py --device cpu --clock cpu --data_names Mnist_Mini --compile

Each is the bare network of an entry of config.yaml: forward and backward ("train"), or forward alone ("draw").
"""

import copy
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks.side_by_side import parser, ratio, take_turns, write_result  # noqa: E402
from models import blocks, build_model  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.cuda_graphs import CudaRecorder, GraphedCall  # noqa: E402
from utils.device import reuse_freed_memory  # noqa: E402
from utils.precision import at_precision  # noqa: E402
from utils.settings import Settings  # noqa: E402

CPU_BATCHES = {"Mnist_Mini": 16, "Emoji": 32, "Cifar10": 4}  # that fit its patience; others: 16


def batch_size_of(settings: Settings, args) -> int:
    """--batch_size, else one that fits a CPU, else the one that the entry is trained with."""
    own = settings.train.batch_size
    return args.batch_size or (CPU_BATCHES.get(settings.data_name, 16) if args.device == "cpu" else own)


class Formulation(NamedTuple):
    """A network, the precision it is called in, and whether its attention is PyTorch's fused kernel whatever the device."""

    network: nn.Module
    precision: str
    fused: bool = False

    def call(self, work: str, batch: tuple, device: str) -> Callable[[], object]:
        """A step of `work`, train or draw, on the batch (x_t, t)."""
        function = at_precision(self.network, self.precision, torch.device(device))
        ours = blocks.attention

        def step() -> None:
            blocks.attention = F.scaled_dot_product_attention if self.fused else ours
            try:
                if work == "train":
                    function(*batch).square().mean().backward()
                else:
                    with torch.no_grad():
                        function(*batch)
            finally:
                blocks.attention = ours

        return step


def formulations(model: nn.Module, args) -> dict[str, Formulation]:
    """All of them, by name."""
    lasting = copy.deepcopy(model).to(memory_format=torch.channels_last)
    found = {"as it is": Formulation(model, "fp32"), "channels last": Formulation(lasting, "fp32")}
    if args.bf16:
        found |= {"bf16": Formulation(model, "bf16"), "bf16, channels last": Formulation(lasting, "bf16")}
    if args.device == "cpu":
        found |= {f"{name}, fused attention": each._replace(fused=True) for name, each in found.items()}
    if args.compile:
        plain = list(found.items())
        for name, each in plain if args.device == "cpu" else plain[-1:]:  # with --bf16 that of `auto`; each takes a minute
            compiled = copy.deepcopy(each.network)
            compiled.compile()
            found[f"{name}, compiled"] = each._replace(network=compiled)
        for name, each in plain if args.device == "cuda" else []:
            captured = copy.deepcopy(each.network)
            captured._compiled_call_impl = GraphedCall(captured, CudaRecorder(torch.device("cuda")), print, plain_calls=0)
            found[f"{name}, CUDA graphs"] = each._replace(network=captured)
    return found


def main() -> None:
    options = parser(__doc__, "formulations")
    options.add_argument("--data_names", nargs="+", default=["Mnist_Mini", "Emoji", "Cifar10"], metavar="NAME")
    options.add_argument("--work", nargs="+", choices=["train", "draw"], default=["train", "draw"])
    options.add_argument("--batch_size", type=int, help="(by data set)")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--compile", action="store_true", help="also compiled (on CUDA the last alone), and there as graphs")
    options.add_argument("--bf16", action="store_true")
    options.add_argument("--give_memory_back", action="store_true", help="without utils.device.reuse_freed_memory")
    args = options.parse_args()
    if not args.give_memory_back:
        reuse_freed_memory()
    rows = []
    for data_name in args.data_names:
        settings = load_settings("config.yaml", data_name)
        size = batch_size_of(settings, args)
        shape = (size, settings.data.image_channel, settings.data.image_size, settings.data.image_size)
        batch = torch.randn(shape, device=args.device), torch.randint(0, 1000, (size,), device=args.device)
        for work in args.work:
            model = build_model(**settings.model_arguments()).to(args.device).train(work == "train")
            calls = {name: each.call(work, batch, args.device) for name, each in formulations(model, args).items()}
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
