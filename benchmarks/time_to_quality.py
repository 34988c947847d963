"""Seconds of training until the drawn digits come so near to held-out ones: this project beside denoising-diffusion-pytorch.

    python benchmarks/time_to_quality.py

Both train on the same 7,000 digits in one process, in turns of --slice seconds; the clock of each runs in its own turns
only. At the marks their averaged weights are kept in --folder; given again, the program trains only those of whom nothing
is there. Then, outside the clocks, each draws from them with DDIM in 20 steps, and the features of the digits' extractor
(evaluation) tell how far that is from the 1,000 held-out digits. Ours: the entry Mnist_Mini of config.yaml, with
schedules of so many --epochs. The peer: Unet(dim=32, dim_mults=(1, 2, 4)), batch 64, its Trainer's defaults.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders

from benchmarks.contestants import Contestant, How, lucidrains, ours  # noqa: E402
from benchmarks.feeds import picture_folder  # noqa: E402
from benchmarks.side_by_side import CLOCKS, parser, synchronize, write_result  # noqa: E402
from datasets import ImageDataset, to_uint8  # noqa: E402
from evaluation.extractor import load_extractor  # noqa: E402
from evaluation.measures import measure  # noqa: E402
from train_solver import schedule_of  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.files import atomic_write  # noqa: E402
from utils.precision import pick_precision  # noqa: E402

PEER = "denoising-diffusion-pytorch"


class Runner(NamedTuple):
    """A contestant with the steps after which it is done (None: with the clock) and the pictures of its drawings."""

    contestant: Contestant
    last_step: int | None
    pictures: Callable[[object], Tensor]  # what it draws -> uint8 (N, C, H, W)


def runners(args, images: np.ndarray, folder: Path) -> dict[str, Runner]:
    """The contestants by name."""
    found = {}
    for epochs in args.epochs:
        overrides = [f"train.train_epoch={epochs}", "sample.sample_info=DDIM_20_0p0", *args.overrides]
        settings = load_settings("config.yaml", "Mnist_Mini", overrides)
        end = schedule_of(settings, len(images)).epoch_steps
        how = How(args.device, settings.train.batch_size, precision=pick_precision("auto", torch.device(args.device)))
        contestant = ours(settings, images, how)
        found[f"ours, {epochs:g} epochs"] = Runner(contestant, end, lambda drawn: drawn)
    if args.without_peer:
        return found
    how = How(args.device, args.peer_batch)
    peer = lucidrains(images, how, picture_folder(images, folder / "digits"), args.peer_dim, (1, 2, 4), eta=0.0)
    found[PEER] = Runner(peer, None, lambda drawn: to_uint8(drawn * 2 - 1))
    return found


def train(found: dict[str, Runner], marks: list[float], args) -> None:
    """Turns of training until each is done; at every mark the weights to draw from go to --folder, NAME_SECONDS_STEP.pt."""
    now, clocks, steps = CLOCKS[args.clock], dict.fromkeys(found, 0.0), dict.fromkeys(found, 0)
    left = {name: [] if any(args.folder.glob(f"{name}_*.pt")) else list(marks) for name in found}
    while any(left.values()):
        for name, runner in found.items():
            turn_ends = clocks[name] + args.slice
            while left[name] and clocks[name] < turn_ends:
                start = now()
                runner.contestant.step()
                synchronize(args.device)
                clocks[name] += now() - start
                steps[name] += 1
                done = steps[name] == runner.last_step
                if done or clocks[name] >= left[name][0]:
                    keep(args.folder, name, clocks[name], steps[name], runner.contestant)
                    left[name] = [] if done else [mark for mark in left[name] if mark > clocks[name]]
        print("  ".join(f"{name}: {clocks[name]:.0f} s, {steps[name]} steps" for name in found), flush=True)


def keep(folder: Path, name: str, seconds: float, step: int, contestant: Contestant) -> None:
    with atomic_write(folder / f"{name}_{seconds:07.1f}_{step}.pt") as temporary:
        torch.save(contestant.drawn.state_dict(), temporary)


def judge(found: dict[str, Runner], args) -> list[dict[str, object]]:
    """One row a kept set of weights: its distance to the held-out digits, in order of time."""
    extractor = load_extractor("digits")
    settings = load_settings("config.yaml", "Mnist_Mini")
    held_out = ImageDataset(**settings.data.model_dump()).load("test").images
    rows = []
    for path in sorted(args.folder.glob("*.pt")):
        name, seconds, step = path.stem.rsplit("_", 2)
        if name not in found:
            continue
        runner = found[name]
        runner.contestant.drawn.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        torch.manual_seed(0)
        parts = [args.batch_size] * (args.pictures // args.batch_size)
        drawn = torch.cat([runner.pictures(runner.contestant.draw(count, args.steps)) for count in parts])
        figures = measure(drawn, held_out, extractor)
        numbers = {key: round(value, 4) for key, value in figures.items() if isinstance(value, float)}
        rows.append({"contestant": name, "seconds": float(seconds), "training_step": int(step), **numbers})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    options = parser(__doc__, "time_to_quality")
    options.add_argument("--folder", type=Path, default=Path("results/time_to_quality"), help="where weights are kept")
    options.add_argument("--marks", type=float, nargs="+", default=[90, 180, 300, 450, 600, 900])
    options.add_argument("--slice", type=float, default=15.0, help="seconds of a turn")
    options.add_argument("--epochs", type=float, nargs="+", default=[2, 11], help="our schedules; 11 is the default's")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="for ours")
    options.add_argument("--pictures", type=int, default=192, help="drawn at each mark")
    options.add_argument("--batch_size", type=int, default=64, help="of drawing")
    options.add_argument("--steps", type=int, default=20, help="of DDIM, eta 0, for both")
    options.add_argument("--without_peer", action="store_true", help="ours alone, as with other --epochs")
    options.add_argument("--peer_batch", type=int, default=64)
    options.add_argument("--peer_dim", type=int, default=32)
    args = options.parse_args()
    settings = load_settings("config.yaml", "Mnist_Mini")
    images = ImageDataset(**settings.data.model_dump()).load().images
    found = runners(args, images, args.folder)
    train(found, args.marks, args)
    rows = judge(found, args)
    write_result(args, rows, pictures=args.pictures, sampler=f"DDIM, {args.steps} steps, eta 0", held_out=1000)


if __name__ == "__main__":
    main()
