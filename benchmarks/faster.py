"""How many times faster DDIM of 50 steps is than DDPM of 1,000, in seconds, by turns: the seed page says at least 20.

    OMP_NUM_THREADS=1 python benchmarks/faster.py --clock cpu

A turn draws the same pictures by both. The ratio is the median over the turns; network calls alone would make it 20.
"""

import statistics
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402

from benchmarks.side_by_side import parser, take_turns, write_result  # noqa: E402
from diffusion import SampleInfo  # noqa: E402
from evaluation.drawn import draw_pictures  # noqa: E402
from sampling import load_trained  # noqa: E402
from utils.checkpoints import load_checkpoint  # noqa: E402

FAST, SLOW = "DDIM_50_0p0", "DDPM_1000_0p0"


def main() -> None:
    options = parser(__doc__, "faster")
    options.add_argument("--model", default="checkpoints/mnist_mini.safetensors", metavar="FILE")
    options.add_argument("--pictures", type=int, default=4, help="at a time")
    options.add_argument("--turns", type=int, default=8)
    args = options.parse_args()
    trained = load_trained(load_checkpoint(args.model), args.model, torch.device(args.device))
    seeds = range(args.pictures)
    infos = {name: SampleInfo.parse(name) for name in (FAST, SLOW)}
    calls = {name: partial(draw_pictures, trained, info, seeds, args.pictures) for name, info in infos.items()}
    calls[FAST]()  # the first call is slower
    seconds = take_turns(calls, args.turns, args.device, args.clock, warm_up=0)
    ratios = [round(slow / fast, 2) for fast, slow in zip(seconds[FAST], seconds[SLOW])]
    rows = [{"sampler": name, "seconds": round(statistics.median(taken), 3)} for name, taken in seconds.items()]
    write_result(args, rows, model=args.model, pictures=args.pictures, ratios=ratios, median=statistics.median(ratios))


if __name__ == "__main__":
    main()
