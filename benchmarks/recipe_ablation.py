"""What each part of a recipe is worth: one change at a time, at equal seconds of training, several trainings each.

    OMP_NUM_THREADS=1 python benchmarks/recipe_ablation.py --clock cpu
    OMP_NUM_THREADS=1 python benchmarks/recipe_ablation.py --clock cpu --data_name Emoji --steps 20
    OMP_NUM_THREADS=1 python benchmarks/recipe_ablation.py --clock cpu --data_name Student --seconds 120 --pictures 1000

Begins from an entry of config.yaml and changes one thing. First all variants take turns of single steps, by which the number
of steps of each is set: those of the recipe itself are what --seconds hold, those of a variant as many more or fewer as its
step is cheaper or dearer. The learning rate ends with them. So a training is the same whatever else the machine does.

Digits: each training draws --pictures digits, a tenth of each class, by its entry's sampler. The digits' extractor measures
how far they are from the 1,000 held-out ones and how many it reads as the digit asked for, and small networks are trained to
tell them from held-out ones. Emoji: as many are drawn, of the groups as often as the data has them; EfficientNet-lite0 measures
how far they are from all emoji. --steps takes fewer steps to draw than the entry's sampler. Student: the recipe is that of the
student that ships (checkpoints/README.md), of --teacher, drawn in one call and in four.

How a difference is judged is stated in paired.py.

The record is written after each training. Given again, also with more --trainings, the program makes those that are missing.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.contestants import Contestant, How, ours  # noqa: E402
from benchmarks.paired import MARGINS  # noqa: E402
from benchmarks.side_by_side import CLOCKS, RESULTS, parser, ratio, take_turns, write_result  # noqa: E402
from datasets import ImageDataset, LabelledImages  # noqa: E402
from diffusion import SampleInfo  # noqa: E402
from evaluation.extractor import Extractor, Features, load_extractor  # noqa: E402
from evaluation.measures import measure  # noqa: E402
from evaluation.reference import load_reference  # noqa: E402
from evaluation.two_sample import two_sample_test  # noqa: E402
from interop.training_on import load_training  # noqa: E402
from sampling.labels import labels_for  # noqa: E402
from train_solver import schedule_of  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.precision import pick_precision  # noqa: E402
from utils.settings import Settings  # noqa: E402

RECIPE = "the recipe"
SHIPPED = "checkpoints/mnist_mini.safetensors"
PROBES = 12  # turns by which the speed of a variant is known

VARIANTS: dict[str, dict[str, list[str]]] = {
    "Mnist_Mini": {
        RECIPE: [],
        "Adam for Muon": ["train.optimizer=adam"],
        "labels, but no guidance": ["sample.sample_info=DPMPP_20_1p0"],
        "no labels, so no guidance": ["model.num_classes=0", "sample.sample_info=DPMPP_20_1p0"],
        "overshooting is an error": ["diffusion.loss_of_clipped=false"],
        "white from 1.0 on": ["diffusion.clipped_above=1.0"],
        "x_0 without the skip": ["diffusion.objective=pred_x0"],
        "v, overshooting is an error": ["diffusion.objective=pred_v", "diffusion.loss_of_clipped=false"],
        "constant learning rate": ["train.learning_rate_decay=none"],
        "uniform timesteps": ["train.timestep_logit_normal=null", "train.timestep_uniform_share=0.0"],
        "batches of 16": ["train.batch_size=16"],
        "32 channels": ["model.base_channels=32"],
    },
    "Emoji": {
        RECIPE: [],
        "Adam for Muon": ["train.optimizer=adam"],
        "no labels, so no guidance": ["model.num_classes=0", "sample.sample_info=DPMPP_50_1p0"],
        "Adam, no labels": ["train.optimizer=adam", "model.num_classes=0", "sample.sample_info=DPMPP_50_1p0"],
    },
    "Student": {
        RECIPE: [],
        "squared error": ["diffusion.loss_type=l2"],
        "a guided teacher": ["train.teacher_guidance=cfg1p2t200t999"],
        "consistency training": ["train.student=consistency_training"],
        "four jumps alone": ["train.student_steps=4", "sample.sample_info=DDIM_4_0p0"],
    },
}
OF_STUDENT = (
    "train.student=consistency",
    "train.learning_rate=1e-3",
    "train.muon_learning_rate=2e-3",
    "train.ema_decay=0.998",
)

Figures = dict[str, float]
Draw = Callable[..., Tensor]  # as Contestant.draw


class Evaluation(NamedTuple):
    """The pictures that all variants train on, how a training is evaluated, and what real pictures are given there."""

    data: LabelledImages
    evaluate: Callable[[Draw, Settings], Figures]
    real: Figures


def settings_of(data_name: str, variant: str, *more: str) -> Settings:
    """The entry with a variant's changes, and `more` of them."""
    changes = [*VARIANTS[data_name][variant], *more]
    if data_name != "Student":
        return load_settings("config.yaml", data_name, changes)
    return load_training("config.yaml", "Mnist_Mini", [*OF_STUDENT, *changes], {})


def taught(args: argparse.Namespace) -> list[str]:
    """What the settings of all variants are given beside their own."""
    return [f"train.teacher={args.teacher}"] if args.data_name == "Student" else []


def contestant_of(settings: Settings, data: LabelledImages, device: str) -> Contestant:
    """A training, in the precision that train_solver.py would take."""
    how = How(device, settings.train.batch_size, precision=pick_precision("auto", torch.device(device)))
    return ours(settings, data.images, how, data.labels)


def training_steps(args: argparse.Namespace, data: LabelledImages, known: dict[str, int]) -> dict[str, int]:
    """How many steps of each variant take --seconds (see the top of the file), beside those that are `known`."""
    missing = [name for name in VARIANTS[args.data_name] if name not in known]
    if not missing:
        return known
    every = {
        name: contestant_of(settings_of(args.data_name, name, *taught(args)), data, args.device).step
        for name in dict.fromkeys([RECIPE, *missing])
    }
    seconds = take_turns(every, PROBES, args.device, args.clock, warm_up=2)
    steps = known.get(RECIPE, args.seconds / statistics.median(seconds[RECIPE]))
    return known | {name: max(1, round(steps * ratio(seconds, name, RECIPE))) for name in missing}


def begin(
    args: argparse.Namespace, variant: str, seed: int, steps: int, data: LabelledImages
) -> tuple[Contestant, Settings]:
    """A training whose learning rate ends at step `steps`, and its settings."""
    batch = settings_of(args.data_name, variant, *taught(args)).train.batch_size
    epochs = f"train.train_epoch={steps * batch / len(data.images)!r}"
    settings = settings_of(args.data_name, variant, *taught(args), epochs, f"run.seed={seed}")
    assert abs(schedule_of(settings, len(data.images)).total_steps - steps) <= 1
    return contestant_of(settings, data, args.device), settings


def evaluation_of_digits(args: argparse.Namespace) -> Evaluation:
    """Drawn digits beside held-out ones; real training digits, as many, in their place show what can be reached."""
    dataset = ImageDataset(**load_settings("config.yaml", "Mnist_Mini").data.model_dump())
    data, held_out = dataset.load(), dataset.load("test").images
    extractor = load_extractor("digits", device=args.device)
    reference = extractor(held_out)

    def evaluate(draw: Draw, settings: Settings) -> Figures:
        drawn = draw(args.pictures, sampler_of(args, settings).steps)
        asked = np.arange(len(drawn)) % 10 if settings.model.num_classes else None
        return figures_of(drawn, asked, held_out, reference, extractor)

    chosen = np.random.default_rng(0).permutation(len(data.images))[: args.pictures]
    drawn = torch.from_numpy(data.images[chosen])
    return Evaluation(data, evaluate, figures_of(drawn, data.labels[chosen], held_out, reference, extractor))


def figures_of(
    drawn: Tensor, asked: np.ndarray | None, held_out: np.ndarray, reference: Features, extractor: Extractor
) -> Figures:
    """Of uint8 digits (N, 1, H, W); `asked`: the class that each of them is to be, (N,)."""
    features = extractor(drawn)
    found = measure(features, reference, extractor)
    figures = {name: float(found[name]) for name in ("fid", "confident")}
    if asked is not None:
        figures["read_as_asked"] = read_as_asked(features, asked)
    return figures | {"told_apart": two_sample_test(drawn, torch.from_numpy(np.array(held_out))).accuracy}


def read_as_asked(features: Features, asked: np.ndarray) -> float:
    """The share of pictures that the extractor reads as the class that each of them is to be, (N,)."""
    return (features.logits.argmax(dim=1).numpy() == asked).mean().item()


def evaluation_of_students(args: argparse.Namespace) -> Evaluation:
    """As `evaluation_of_digits`, in one call and in four, and their classes read; jumps that end on the way: four alone."""
    dataset = ImageDataset(**load_settings("config.yaml", "Mnist_Mini").data.model_dump())
    data, extractor = dataset.load(), load_extractor("digits", device=args.device)
    reference = extractor(dataset.load("test").images)

    def evaluate(draw: Draw, settings: Settings) -> Figures:
        figures: Figures = {}
        for calls in (1, 4) if settings.train.student_steps == 1 else (4,):
            features = extractor(draw(args.pictures, calls))
            figures[f"fid_{calls}"] = float(measure(features, reference, extractor)["fid"])
        return figures | {"read_as_asked": read_as_asked(features, np.arange(args.pictures) % 10)}

    chosen = np.random.default_rng(0).permutation(len(data.images))[: args.pictures]
    real = extractor(data.images[chosen])
    fid = float(measure(real, reference, extractor)["fid"])
    return Evaluation(data, evaluate, {"fid_1": fid, "fid_4": fid, "read_as_asked": read_as_asked(real, data.labels[chosen])})


def evaluation_of_emoji(args: argparse.Namespace) -> Evaluation:
    """Drawn emoji, of the groups as often as the data has them, beside all real ones; real: a half beside the other."""
    dataset = ImageDataset(**load_settings("config.yaml", "Emoji").data.model_dump())
    data, extractor = dataset.load(), load_extractor("efficientnet_lite0", device=args.device)
    reference = load_reference(dataset, "train", extractor)

    def figures(drawn: Features, beside: Features) -> Figures:
        found = measure(drawn, beside, extractor)
        return {name: float(found[name]) for name in ("kid", "precision", "recall")}

    def evaluate(draw: Draw, settings: Settings) -> Figures:
        counts = np.bincount(data.labels).tolist()
        labels = labels_for(range(args.pictures), None, settings.model.num_classes, class_counts=counts)
        drawn = draw(args.pictures, sampler_of(args, settings).steps, labels)
        return figures(extractor(drawn), reference.real.features)

    halves = (reference.held_out.features, reference.held_out_reference.features)
    return Evaluation(data, evaluate, figures(*halves))


def sampler_of(args: argparse.Namespace, settings: Settings) -> SampleInfo:
    """What a variant's pictures are drawn by."""
    info = SampleInfo.parse(settings.sample.sample_info)
    return replace(info, steps=args.steps or info.steps)


EVALUATIONS = {"Mnist_Mini": evaluation_of_digits, "Emoji": evaluation_of_emoji, "Student": evaluation_of_students}


def read_record(path: Path, asked: dict[str, object]) -> dict:
    """What is there already; SystemExit if it was made otherwise than `asked`, but for fewer trainings."""
    if not path.is_file():
        return {}
    record = json.loads(path.read_text())
    other = [name for name, value in asked.items() if record.get(name) != value]
    if "trainings" in other and record["trainings"] < asked["trainings"]:
        other.remove("trainings")
    if other:
        raise SystemExit(f"error: {path} was made with other {', '.join(other)}; give another --output, or remove it")
    return record


def main() -> None:
    options = parser(__doc__, "recipe_ablation")
    options.add_argument("--data_name", choices=VARIANTS, default="Mnist_Mini")
    options.add_argument("--seconds", type=float, default=60.0, help="of each training")
    options.add_argument(
        "--trainings",
        type=int,
        default=3,
        choices=range(1, 100),
        metavar="N",
        help="of each variant: seeds 0 ... N - 1",
    )
    options.add_argument("--pictures", type=int, default=500, help="drawn and measured, of each training")
    options.add_argument("--steps", type=int, help="of drawing a picture, instead of the entry's")
    options.add_argument("--teacher", default=SHIPPED, metavar="FILE", help=f"of a student ({SHIPPED})")
    args = options.parse_args()
    if args.data_name != "Student" and args.teacher != SHIPPED:
        options.error("--teacher: only a student has one")
    if args.data_name == "Student" and args.steps:
        options.error("--steps: a student is drawn in one call and in four")
    if args.data_name != "Mnist_Mini":
        args.result = f"recipe_ablation_{args.data_name.lower()}"
    args.output = args.output or RESULTS / f"{args.result}_{args.device}.json"
    asked = {name: getattr(args, name) for name in ("data_name", "seconds", "trainings", "pictures")}
    asked["sampler"] = str(sampler_of(args, settings_of(args.data_name, RECIPE, *taught(args))))
    if args.data_name == "Student":
        asked["teacher"] = args.teacher
    asked["margins"] = MARGINS[args.data_name]
    record = read_record(args.output, asked)
    data, evaluate, real = EVALUATIONS[args.data_name](args)
    steps = training_steps(args, data, record.get("steps", {}))
    rows, now = record.get("rows", []), CLOCKS[args.clock]
    done = {(row["variant"], row["seed"]) for row in rows}
    for seed in range(args.trainings):
        for variant, changes in VARIANTS[args.data_name].items():
            if (variant, seed) in done:
                continue
            contestant, settings = begin(args, variant, seed, steps[variant], data)
            start = now()
            for _ in range(steps[variant]):
                contestant.step()
            row = {"variant": variant, "settings": " ".join(changes), "seed": seed, "seconds": round(now() - start, 1)}
            rows.append(row | {name: round(value, 4) for name, value in evaluate(contestant.draw, settings).items()})
            print(rows[-1], flush=True)
            write_result(args, rows, **asked, steps=steps, real=real)


if __name__ == "__main__":
    main()
