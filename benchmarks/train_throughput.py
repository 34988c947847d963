"""Pictures a second in training: this project beside diffusers and denoising-diffusion-pytorch, in turns.

    python benchmarks/train_throughput.py                         # --device cuda where there is one
    python benchmarks/train_throughput.py --device cpu --clock cpu --sizes digits

Each is measured as a user gets it ("default") and at its best reasonable setting: everything in memory, fused optimizer,
our precision, compiled on a GPU. diffusers' network is ours, parameter for parameter; the other peer's is its own, of the
width that comes nearest to our FLOPs. The pictures are random: the work is the same.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402

from benchmarks.contestants import Contestant  # noqa: E402
from benchmarks.side_by_side import flops, parser, take_turns, write_result  # noqa: E402
from benchmarks.workloads import add_options, contestants, flop_of_each, rows  # noqa: E402


def flop_of_training(contestant: Contestant, shape: tuple[int, ...], device: str) -> int:
    """FLOP of one picture of `shape` (1, C, H, W), forward and backward."""

    def call() -> None:
        output = contestant.forward(torch.zeros(shape, device=device), torch.zeros(1, dtype=torch.long, device=device))
        output.sum().backward()

    count = flops(call)
    contestant.network.zero_grad()
    return count


def main() -> None:
    options = parser(__doc__, "train_throughput")
    add_options(options, rounds=5)
    args = options.parse_args()
    table = []
    for size in args.sizes:
        everyone, settings, batch = contestants(size, args)
        print(f"{size}: batches of {batch}")
        flop_of = flop_of_each(everyone, settings, lambda each, shape: flop_of_training(each, shape, args.device))
        steps = {name: each.step for name, each in everyone.items()}
        seconds = take_turns(steps, args.rounds, args.device, args.clock, args.warm_up)
        table += rows(size, args, seconds, everyone, {name: each.pictures for name, each in everyone.items()}, flop_of)
    write_result(args, table)


if __name__ == "__main__":
    main()
