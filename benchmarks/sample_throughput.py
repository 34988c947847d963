"""Pictures a second in drawing: this project beside diffusers' DDIMPipeline and denoising-diffusion-pytorch, in turns.

    python benchmarks/sample_throughput.py                        # --device cuda where there is one
    python benchmarks/sample_throughput.py --device cpu --clock cpu --sizes digits --steps 10

The networks and the settings are those of train_throughput.py; all walk DDIM with so many steps, from seeds or noise to
finished pictures on the CPU. `--solvers` instead times DPMPP_20_0p0 beside DDPM_1000_0p0 on the shipped digits.
"""

import statistics
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402

from benchmarks.contestants import Contestant  # noqa: E402
from benchmarks.side_by_side import flops, parser, ratio, take_turns, write_result  # noqa: E402
from benchmarks.workloads import add_options, contestants, flop_of_each, rows  # noqa: E402
from diffusion import SampleInfo  # noqa: E402
from sampling import load_trained  # noqa: E402
from sampling.drawing import draw  # noqa: E402
from utils.checkpoints import load_checkpoint  # noqa: E402

SLOW, FAST = "DDPM_1000_0p0", "DPMPP_20_0p0"


def flop_of_drawing(contestant: Contestant, shape: tuple[int, ...], device: str, steps: int) -> int:
    """FLOP of one picture of `shape` (1, C, H, W): `steps` calls of the network."""
    with torch.no_grad():
        picture = torch.zeros(shape, device=device), torch.zeros(1, dtype=torch.long, device=device)
        return steps * flops(lambda: contestant.forward(*picture))


def solvers(args) -> list[dict[str, object]]:
    """Seconds of DDPM in 1000 steps and of DPM-Solver++ in 20, the same seeds, on the shipped digits."""
    path = "checkpoints/mnist_mini.safetensors"
    trained = load_trained(load_checkpoint(path), path, torch.device(args.device))
    count = args.batch_size or 16

    def drawing(text: str):
        info = SampleInfo.parse(text)
        return lambda: draw(trained.network, trained.diffusion, info, range(count), trained.shape, trained.device)

    seconds = take_turns({text: drawing(text) for text in (FAST, SLOW)}, args.rounds, args.device, args.clock, 0)
    times = {text: statistics.median(values) for text, values in seconds.items()}
    return [
        {"sampler": text, "pictures": count, "seconds": times[text], "times_as_fast": ratio(seconds, text, SLOW)}
        for text in (FAST, SLOW)
    ]


def main() -> None:
    options = parser(__doc__, "sample_throughput")
    add_options(options, rounds=5)
    options.add_argument("--steps", type=int, default=50, help="of DDIM")
    options.add_argument("--solvers", action="store_true", help=f"{FAST} beside {SLOW} on the shipped digits")
    args = options.parse_args()
    if args.solvers:
        write_result(args, solvers(args))
        return
    table = []
    for size in args.sizes:
        everyone, settings, batch = contestants(size, args)
        print(f"{size}: {batch} pictures at a time, {args.steps} steps")
        flop_of = flop_of_each(
            everyone, settings, lambda each, shape: flop_of_drawing(each, shape, args.device, args.steps)
        )
        draws = {name: partial(each.draw, batch, args.steps) for name, each in everyone.items()}
        seconds = take_turns(draws, args.rounds, args.device, args.clock, args.warm_up)
        table += rows(size, args, seconds, everyone, dict.fromkeys(everyone, batch), flop_of)
    write_result(args, table, steps=args.steps)


if __name__ == "__main__":
    main()
