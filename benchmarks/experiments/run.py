"""Runs the study: python -m benchmarks.experiments.run [--data_names Mnist_Mini] [--runs DIR] [--output DIR]

Row by row of table.py: the trainings that the row needs, the pictures of its cells, their figures. All that is there already
is kept; given again, the command goes on where it was stopped. One process, on OMP_NUM_THREADS threads.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a program, it sees the project's folders
import benchmarks  # noqa: E402, F401 (before torch: how its threads wait)

# isort: split
import torch  # noqa: E402

from benchmarks.experiments.cells import Cell  # noqa: E402
from benchmarks.experiments.record import Record  # noqa: E402
from benchmarks.experiments.sheets import save_sheet, save_sheets  # noqa: E402
from benchmarks.experiments.study import Row, Study, cells_of  # noqa: E402
from benchmarks.experiments.table import DATA, STUDY, rows_of  # noqa: E402
from benchmarks.experiments.trial import Judge, run_folder, train, trial  # noqa: E402
from benchmarks.side_by_side import machine  # noqa: E402

judge_of = cache(Judge)


def measure(study: Study, record: Record, data_name: str, cell: Cell, seed: int, runs: Path) -> None:
    """Trains, draws and measures a cell of one training, unless it was measured before."""
    if record.figures(cell, seed) is not None:
        return
    path = run_folder(study, runs, data_name, cell.variant, seed)
    seconds = train(study, path, data_name, cell.variant, seed)
    if seconds:
        record.add_seconds(cell.variant, seed, seconds)
    judge = judge_of(study.entry_of(data_name))
    figures, first = trial(study, data_name, cell, seed, path, judge)
    if seed == 0:
        save_sheet(runs, data_name, cell, first)
    if not record.content["real"]:
        record.content["real"] = judge.real()
        record.content["machine"] = machine("cuda" if torch.cuda.is_available() else "cpu")
    record.add(cell, seed, figures)
    shown = ", ".join(
        f"{name} {figures[name]:.4g}" for name in ("kid", "fid", "grain", "edges", "jump") if name in figures
    )
    print(f"{data_name}: {cell.key}, training {seed}: {shown}", flush=True)


def run(study: Study, rows: Sequence[Row], runs: Path, output: Path, trainings: int) -> None:
    """All cells of the rows, in their order, of the first `trainings`."""
    records = {
        name: Record(output / f"{name}.json", study, name) for name in dict.fromkeys(row.data_name for row in rows)
    }
    for row in rows:
        for seed in range(trainings):
            for cell in cells_of([row]):
                measure(study, records[row.data_name], row.data_name, cell, seed, runs)
        save_sheets(runs, output, row.data_name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_names", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--runs", type=Path, default=Path("train_results/experiments"), metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("docs/experiments"), metavar="DIR")
    args = parser.parse_args()
    run(STUDY, rows_of(args.data_names), args.runs, args.output, STUDY.trainings)


if __name__ == "__main__":
    main()
