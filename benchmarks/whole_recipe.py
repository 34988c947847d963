"""What a change of a recipe is worth at its whole length: trainings by train_solver.py, several at once, of several seeds.

    python benchmarks/whole_recipe.py --data_name Emoji --at_once 6            # --device cuda where there is one

recipe_ablation.py compares at equal seconds, of a minute or so; here each training is as long as its recipe says, or as --set
makes all of them, and they take equally many steps. Their pictures are measured as there, and judged by the rule of paired.py.

Trainings that run at once share the device, so that their seconds say little. The record is written after each training has
been drawn from; given again, the program makes those that are missing, and goes on with those that were stopped.
"""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.paired import MARGINS  # noqa: E402
from benchmarks.recipe_ablation import (  # noqa: E402
    EVALUATIONS,
    OF_STUDENT,
    RECIPE,
    SHIPPED,
    Draw,
    read_record,
    sampler_of,
)
from benchmarks.recipe_ablation import VARIANTS as SHORT  # noqa: E402
from benchmarks.side_by_side import RESULTS, parser, write_result  # noqa: E402
from diffusion import SampleInfo  # noqa: E402
from interop.training_on import load_training  # noqa: E402
from sampling import load_trained  # noqa: E402
from sampling.drawing import batches_of, draw  # noqa: E402
from sampling.labels import labels_for  # noqa: E402
from train_solver import schedule_of  # noqa: E402
from utils.checkpoints import load_checkpoint  # noqa: E402
from utils.settings import Settings  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
QUIET = ("train.sample_every=1000000", "train.save_every=1000000", "train.save_minutes=null")  # nothing but the training


class Recipe(NamedTuple):
    """An entry of config.yaml, what all trainings change of it, and what each variant does."""

    entry: str
    common: tuple[str, ...]
    variants: dict[str, list[str]]


def some_of(data_name: str, *names: str) -> dict[str, list[str]]:
    """The recipe and these of the short trainings' variants."""
    return {name: SHORT[data_name][name] for name in (RECIPE, *names)}


RECIPES = {
    "Mnist_Mini": Recipe(
        "Mnist_Mini",
        (),
        some_of("Mnist_Mini", "constant learning rate", "Adam for Muon")
        | {"drawn by the ODE": ["sample.sample_info=DPMPP_20_0p0_cfg1p3t200t999"]},
    ),
    "Emoji": Recipe("Emoji", (), some_of("Emoji", "Adam for Muon")),
    "Student": Recipe(
        "Mnist_Mini",
        (*OF_STUDENT, f"train.teacher={SHIPPED}", "train.train_epoch=52"),
        some_of("Student", "squared error", "a guided teacher", "consistency training"),
    ),
}  # fmt: skip


def settings_of(data_name: str, variant: str, *more: str) -> Settings:
    """A variant's settings, with `more` changes."""
    recipe = RECIPES[data_name]
    return load_training("config.yaml", recipe.entry, [*recipe.common, *QUIET, *more, *recipe.variants[variant]], {})


def train(args: argparse.Namespace, variant: str, seed: int) -> float:
    """Trains, or goes on; gives its seconds, those of starting among them. SystemExit with its last words if it fails."""
    recipe, started = RECIPES[args.data_name], time.perf_counter()
    changes = [*recipe.common, *QUIET, *args.overrides, *recipe.variants[variant]]
    options = ["--data_name", recipe.entry, "--save_dir", str(folder_of(args, variant, seed)), "--seed", str(seed)]
    overrides = [word for change in changes for word in ("--set", change)]
    limit = [] if args.max_steps is None else ["--max_steps", str(args.max_steps)]
    command = [sys.executable, str(ROOT / "train_solver.py"), *options, "--device", args.device, *limit, *overrides]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ended.returncode != 0:
        raise SystemExit(f"error: {variant}, seed {seed}: {ended.stderr[-2000:]}")
    for line in ended.stdout.splitlines():
        if line.startswith("Not "):  # compiled, or captured
            print(f"{variant}, seed {seed}: {line}", flush=True)
    return time.perf_counter() - started


def drawn_otherwise(args: argparse.Namespace, variant: str) -> bool:
    """Whether a variant is the recipe's training, drawn from in another way."""
    changes = RECIPES[args.data_name].variants[variant]
    return variant != RECIPE and all(change.startswith("sample.") for change in changes)


def folder_of(args: argparse.Namespace, variant: str, seed: int) -> Path:
    """Where a training is kept."""
    return args.runs.absolute() / args.data_name / variant.replace(" ", "_").replace(",", "") / str(seed)


def drawer(path: Path, sampler: str, device: torch.device) -> Draw:
    """`Contestant.draw` of a checkpoint: by the sampler, in so many steps."""
    trained = load_trained(load_checkpoint(path), path, device)
    own, size = SampleInfo.parse(sampler), 500 if device.type == "cuda" else trained.batch_size

    def draw_pictures(count: int, steps: int, labels: list[int] | None = None) -> Tensor:
        if labels is None:
            labels = labels_for(range(count), "all" if trained.num_classes else None, trained.num_classes)
        how = trained.network, trained.diffusion, replace(own, steps=steps)
        parts = []
        for seeds in batches_of(range(count), size):
            asked = {"labels": labels and labels[seeds.start : seeds.stop], "num_classes": trained.num_classes}
            parts.append(draw(*how, seeds, trained.shape, device, pad_to=size, **asked))
        return torch.cat(parts)

    return draw_pictures


def main() -> None:
    options = parser(__doc__, "whole_recipe")
    options.add_argument("--data_name", choices=RECIPES, default="Emoji")
    options.add_argument("--trainings", type=int, default=3, metavar="N", help="of each variant: seeds 0 ... N - 1")
    options.add_argument("--at_once", type=int, default=1, metavar="N", help="how many trainings share the device")
    options.add_argument("--pictures", type=int, default=500, help="drawn and measured, of each training")
    options.add_argument("--steps", type=int, help="of drawing a picture, instead of the entry's")
    options.add_argument("--max_steps", type=int, help="of training, instead of the recipe's")
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides", help="in all trainings")
    options.add_argument("--runs", type=Path, default=Path("train_results/whole_recipe"), metavar="DIR", help="trainings")
    args = options.parse_args()
    if args.steps and args.data_name == "Student":
        options.error("--steps: a student is drawn in one call and in four")
    if args.clock == "cpu":
        options.error("--clock cpu: the trainings are processes of their own")
    if min(args.at_once, args.trainings) < 1:
        options.error("--at_once, --trainings: 1 or more")
    args.output = args.output or RESULTS / f"{args.result}_{args.data_name.lower()}_{args.device}.json"
    variants, device = RECIPES[args.data_name].variants, torch.device(args.device)
    asked = {name: getattr(args, name) for name in ("data_name", "trainings", "pictures", "at_once")}
    settings = {name: settings_of(args.data_name, name, *args.overrides) for name in variants}
    asked |= {"max_steps": args.max_steps, "set": args.overrides}
    asked["sampler"] = str(sampler_of(args, settings[RECIPE]))
    asked["margins"] = MARGINS[args.data_name]
    record = read_record(args.output, asked)
    data, evaluate, real = EVALUATIONS[args.data_name](args)
    steps = {name: args.max_steps or schedule_of(each, len(data.images)).total_steps for name, each in settings.items()}
    rows = record.get("rows", [])
    done = {(row["variant"], row["seed"]) for row in rows}
    missing = [(name, seed) for seed in range(args.trainings) for name in variants if (name, seed) not in done]

    def add(name: str, seed: int, seconds: float) -> None:
        row = {"variant": name, "settings": " ".join(variants[name]), "seed": seed, "seconds": round(seconds, 1)}
        weights = folder_of(args, RECIPE if drawn_otherwise(args, name) else name, seed) / "model.safetensors"
        figures = evaluate(drawer(weights, settings[name].sample.sample_info, device), settings[name])
        rows.append(row | {key: round(value, 4) for key, value in figures.items()})
        print(rows[-1], flush=True)
        write_result(args, rows, **asked, steps=steps, real=real)

    with ThreadPoolExecutor(args.at_once) as pool:
        running = {pool.submit(train, args, *each): each for each in missing if not drawn_otherwise(args, each[0])}
        try:
            for ended in as_completed(running):
                add(*running[ended], ended.result())
        except BaseException:  # what has not begun is not begun
            pool.shutdown(cancel_futures=True)
            raise
    for name, seed in missing:
        if drawn_otherwise(args, name):
            add(name, seed, next(row["seconds"] for row in rows if (row["variant"], row["seed"]) == (RECIPE, seed)))


if __name__ == "__main__":
    main()
