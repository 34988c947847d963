"""Measures the frontier: python -m benchmarks.frontier [--data_names Mnist_Mini] [--runs DIR] [--output DIR]

Cell by cell of table.py: the training that it needs, its pictures, their figures; chains of 50 steps and more last. All that
is there already is kept; given again, the command goes on where it was stopped. A checkpoint that is not there is left out.
One process, on OMP_NUM_THREADS threads. Then `python -m benchmarks.frontier.page` writes docs/frontier.md.
"""

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import benchmarks  # noqa: F401 (before torch: how its threads wait)

# isort: split
from benchmarks.experiments.record import Record
from benchmarks.experiments.run import measure
from benchmarks.experiments.study import Study
from benchmarks.frontier.pictures import save_pictures
from benchmarks.frontier.table import DATA, STUDY, TRAINED, cells_in_order, is_long


def run(study: Study, data_names: Sequence[str], runs: Path, output: Path, trainings: int | None = None) -> None:
    """All cells of the data sets, of the first `trainings` (None: of all); long chains when all else is done."""
    there = [name for name in data_names if is_there(study, name)]
    records = {name: Record(output / f"{name}.json", study, name) for name in there}
    for long, name in itertools.product((False, True), there):
        for cell in (cell for cell in cells_in_order(name) if is_long(cell) is long):
            for seed in range(trainings or study.trainings_of(name)):
                measure(study, records[name], name, cell, seed, runs)
        if name in TRAINED:
            save_pictures(runs, output, name)


def is_there(study: Study, data_name: str) -> bool:
    """Whether it can be measured; prints why not."""
    checkpoint = study.data[data_name].checkpoint
    found = checkpoint is None or Path(checkpoint).is_file()
    if not found:
        print(f"{data_name}: there is no {checkpoint} yet; left out", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frontier", description=__doc__.split("\n")[0])
    parser.add_argument("--data_names", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--runs", type=Path, default=Path("train_results/frontier"), metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("docs/frontier"), metavar="DIR")
    args = parser.parse_args()
    run(STUDY, args.data_names, args.runs, args.output)


if __name__ == "__main__":
    main()
