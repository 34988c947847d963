"""Runs the experiments of table.py on one data set: trainings, then comparisons. `bash run_experiments.sh` calls it.

    python -m benchmarks.experiments.run --data_name Mnist_Mini --steps 1200

All that is done is done by train_solver.py and test_solver.py, whose commands are printed. The same command goes on where it
was stopped.
"""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # run as a program, it sees the project's folders

from benchmarks.experiments.table import (  # noqa: E402
    BASE,
    BOUND_PICTURES,
    BOUNDS,
    COMPARISONS,
    EXPERIMENTS,
    INTERPOLATIONS,
    Comparison,
    of_data,
    variants,
)
from datasets import ImageDataset  # noqa: E402
from utils.config import load_settings  # noqa: E402
from utils.files import atomic_write  # noqa: E402

Command = tuple[Path, list[str]]  # the file that keeps what it prints, and its arguments


def training(data_name: str, name: str, settings: Sequence[str], runs: Path, steps: int) -> Command:
    """One training: a grid and a checkpoint at each quarter of it."""
    quarter = max(1, steps // 4)
    more = [f"train.sample_every={quarter}", f"train.save_every={quarter}", "train.log_every=25"]
    overrides = [word for setting in (*settings, *more) for word in ("--set", setting)]
    folder = runs / data_name / name
    command = ["train_solver.py", "--data_name", data_name, "--save_dir", str(folder), "--max_steps", str(steps)]
    return folder.with_name(f"{name}.txt"), [*command, *overrides]


def comparison(
    data_name: str, experiment: str, name: str, wanted: Comparison, runs: Path, output: Path, pictures: int
) -> Command:
    """One `--test_mode compare`."""
    names = wanted.variants or tuple(variants(data_name, experiment))
    models = [str(runs / data_name / variant / wanted.file) for variant in names]
    if wanted.variants is None:
        models = [checkpoint(data_name, runs)]
    folder = output / data_name / name
    count = max(2, round(pictures * wanted.pictures))
    command = ["test_solver.py", "--test_mode", "compare", "--model_path", *models, "--sample_info", *wanted.samplers]
    counts = ["--sample_num", str(count), "--repeats", str(wanted.sets), "--save_dir", str(folder)]
    return folder / "output.txt", [*command, *counts, *wanted.options]


def interpolation(data_name: str, mode: str, noise_steps: int, runs: Path, output: Path) -> Command:
    """One `--test_mode interpolate`, of which the smoothness that it prints is kept too."""
    folder = output / data_name / "interpolate" / f"{mode}_{noise_steps}"
    command = ["test_solver.py", "--test_mode", "interpolate", "--model_path", checkpoint(data_name, runs)]
    options = ["--sample_info", "DDIM_50_0p0", "--interpolate_mode", mode, "--interpolate_steps", str(noise_steps)]
    return folder / "output.txt", [*command, *options, "--save_dir", str(folder)]


def bound(data_name: str, variant: str, runs: Path, output: Path) -> Command:
    """One `--test_mode likelihood`."""
    folder = output / data_name / "likelihood"
    model = str(runs / data_name / variant / "model.safetensors")
    command = ["test_solver.py", "--test_mode", "likelihood", "--model_path", model]
    return folder / f"{variant}.txt", [*command, "--sample_num", str(BOUND_PICTURES), "--save_dir", str(folder)]


def mistake(data_name: str, runs: Path, output: Path) -> Command:
    """The common mistake of a strided DDPM, beside the right one."""
    folder = output / data_name / "mistake"
    program = ["benchmarks/experiments/mistake.py", checkpoint(data_name, runs), str(folder)]
    return folder / "output.txt", program


def checkpoint(data_name: str, runs: Path) -> str:
    """The model whose samplers and interpolations are looked at."""
    return of_data(data_name).checkpoint or str(runs / data_name / BASE / "model.safetensors")


def stages(data_name: str, chosen: Sequence[str], args: argparse.Namespace) -> list[list[Command]]:
    """The commands, those of one stage in any order: trainings first, since the rest draws from them."""
    trainings, drawings = [], []
    for experiment in chosen:
        for name, settings in variants(data_name, experiment).items():
            trainings.append(training(data_name, name, settings, args.runs, args.steps))
        if experiment == "samplers":
            drawings.append(mistake(data_name, args.runs, args.output))
        for name, wanted in COMPARISONS.get(experiment, {}).items():
            drawings.append(comparison(data_name, experiment, name, wanted, args.runs, args.output, args.pictures))
        if experiment == "parts" and has_test_split(data_name):
            drawings += [bound(data_name, variant, args.runs, args.output) for variant in (BASE, *BOUNDS)]
        if experiment == "interpolate":
            drawings += [interpolation(data_name, *each, args.runs, args.output) for each in INTERPOLATIONS]
    return [trainings, drawings]


def has_test_split(data_name: str) -> bool:
    """Whether the entry's data has pictures that are held out."""
    data = load_settings(str(ROOT / "config.yaml"), data_name).data
    return ImageDataset(**data.model_dump()).has_split("test")


def run(command: Command, threads: int) -> None:
    """Runs one command and keeps what it prints, below the command itself. SystemExit if it fails.

    Trainings and comparisons find what they did before by themselves; others are done once.
    """
    log, arguments = command
    line = f"$ python {shlex.join(arguments)}\n"
    print(line[2:], end="", flush=True)
    resumes = "train_solver.py" in arguments or "compare" in arguments
    if not resumes and log.is_file() and log.read_text(encoding="utf-8").startswith(line):
        return
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"error: python {shlex.join(arguments)} ended with {done.returncode}: {last}")
    with atomic_write(log) as temporary:
        printed = done.stdout.replace(f"{ROOT}/", "").replace(f"{Path.home()}/", "~/")  # no path of this machine
        temporary.write_text(line + printed, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_name", required=True, metavar="NAME", help="an entry of config.yaml")
    parser.add_argument(
        "--experiments", nargs="+", choices=list(EXPERIMENTS), help="some of them (all that the data set has)"
    )
    parser.add_argument("--steps", type=int, required=True, metavar="N", help="of each training")
    parser.add_argument("--pictures", type=int, required=True, metavar="N", help="a set; long chains draw a part of it")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="commands at a time (1)")
    parser.add_argument("--runs", type=Path, default=Path("train_results/experiments"), metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("docs/experiments"), metavar="DIR")
    args = parser.parse_args()
    has = of_data(args.data_name).experiments
    chosen = [name for name in args.experiments or has if name in has]
    threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // args.jobs))
    for stage in stages(args.data_name, chosen, args):
        with ThreadPoolExecutor(args.jobs) as pool:
            for _ in pool.map(lambda command: run(command, threads), stage):
                pass


if __name__ == "__main__":
    main()
