"""Seconds of training until the drawn digits come so near to held-out ones: this project beside denoising-diffusion-pytorch.

    python benchmarks/time_to_quality.py                # both without classes
    python benchmarks/time_to_quality.py --guided       # both with classes, and guided by them

Both train on the same 7,000 digits in one process, in turns of --slice seconds; the clock of each runs in its own turns
only. At the marks their averaged weights are kept in --folder; given again, the program trains only those of whom nothing
is there. Then, outside the clocks, each draws from them in 20 steps, and the features of the digits' extractor (evaluation)
tell how far that is from the 1,000 held-out digits. Ours: the entry Mnist_Mini of config.yaml, with schedules of so many
--epochs. The peer: Unet(dim=32, dim_mults=(1, 2, 4)), batch 64, its Trainer's defaults.

Like stays with like. Without classes: ours is the entry but for its classes, and both draw by DDIM with an eta of 0. Guided:
ours is the entry as it is, by its own sampler; the peer's is its classifier_free_guidance.py at its defaults, a scale of 6
among them, by its DDIM with an eta of 0. Then picture k is of class k mod 10 for both, and the share that is read as that
class is told.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.contestants import Contestant, How, ours, picture_folder  # noqa: E402
from benchmarks.lucidrains import lucidrains, lucidrains_guided  # noqa: E402
from benchmarks.side_by_side import CLOCKS, parser, synchronize, write_result  # noqa: E402
from benchmarks.workloads import PLAIN  # noqa: E402
from datasets import ImageDataset, LabelledImages, to_uint8  # noqa: E402
from evaluation.extractor import load_extractor  # noqa: E402
from evaluation.measures import measure  # noqa: E402
from train_solver import schedule_of  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.files import atomic_write  # noqa: E402
from utils.precision import pick_precision  # noqa: E402

PEER = "denoising-diffusion-pytorch"
MULTS = (1, 2, 4)  # the peer's levels


class Runner(NamedTuple):
    """A contestant with the steps after which it is done (None: with the clock) and the pictures of its drawings."""

    contestant: Contestant
    last_step: int | None
    pictures: Callable[[object], Tensor]  # what it draws -> uint8 (N, C, H, W)


def runners(args, data: LabelledImages, folder: Path) -> dict[str, Runner]:
    """The contestants by name."""
    found, images = {}, data.images
    plain, words = ([], ", guided") if args.guided else (PLAIN, "")
    for epochs in args.epochs:
        settings = load_settings("config.yaml", "Mnist_Mini", [f"train.train_epoch={epochs}", *plain, *args.overrides])
        end = schedule_of(settings, len(images)).epoch_steps
        how = How(args.device, settings.train.batch_size, precision=pick_precision("auto", torch.device(args.device)))
        contestant = ours(settings, images, how, data.labels if args.guided else None)
        found[f"ours{words}, {epochs:g} epochs"] = Runner(contestant, end, lambda drawn: drawn)
    if args.without_peer:
        return found
    how = How(args.device, args.peer_batch)
    if args.guided:
        peer = lucidrains_guided(images, data.labels, how, args.peer_dim, MULTS, num_classes=10)
    else:
        peer = lucidrains(images, how, picture_folder(images, folder / "digits"), args.peer_dim, MULTS, eta=0.0)
    found[PEER + words] = Runner(peer, None, lambda drawn: to_uint8(drawn * 2 - 1))
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
        drawn = extractor(runner.pictures(runner.contestant.draw(args.pictures, args.steps)))
        figures = measure(drawn, held_out, extractor)
        if args.guided:
            asked = torch.arange(args.pictures) % 10
            figures["read_as_asked"] = (drawn.logits.argmax(dim=1) == asked).double().mean().item()
        numbers = {key: round(value, 4) for key, value in figures.items() if isinstance(value, float)}
        rows.append({"contestant": name, "seconds": float(seconds), "training_step": int(step), **numbers})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    options = parser(__doc__, "time_to_quality")
    options.add_argument("--folder", type=Path, default=Path("results/time_to_quality"), help="where weights are kept")
    options.add_argument("--marks", type=float, nargs="+", default=[90, 180, 300, 450, 600, 900])
    options.add_argument("--slice", type=float, default=15.0, help="seconds of a turn")
    options.add_argument("--epochs", type=float, nargs="+", default=[2, 13], help="our schedules; 13 is the default's")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="for ours")
    options.add_argument("--pictures", type=int, default=192, help="drawn at each mark")
    options.add_argument("--steps", type=int, default=20, help="of both samplers")
    options.add_argument("--guided", action="store_true", help="both with classes, and guided by them")
    options.add_argument("--without_peer", action="store_true", help="ours alone, as with other --epochs")
    options.add_argument("--peer_batch", type=int, default=64)
    options.add_argument("--peer_dim", type=int, default=32)
    args = options.parse_args()
    settings = load_settings("config.yaml", "Mnist_Mini")
    if args.guided:
        args.result = "time_to_quality_guided"
    found = runners(args, ImageDataset(**settings.data.model_dump()).load(), args.folder)
    train(found, args.marks, args)
    rows = judge(found, args)
    samplers = f"each its own, {args.steps} steps" if args.guided else f"DDIM, {args.steps} steps, eta 0"
    write_result(args, rows, pictures=args.pictures, sampler=samplers, held_out=1000)


if __name__ == "__main__":
    main()
