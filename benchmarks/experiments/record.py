"""What was measured, a JSON file a data set: figures by cell and training, and all that they depend on."""

import json
from pathlib import Path

from benchmarks.experiments.cells import Cell
from benchmarks.experiments.study import Row, Study
from utils.files import atomic_write

DIGITS = 6  # significant, of a figure


class Record:
    """The figures of one data set, in `path`; empty where there is no such file.

    SystemExit if it was made by another table: figures of two designs are not to be mixed.
    """

    def __init__(self, path: Path, study: Study, data_name: str):
        self.path, self.trainings = path, study.trainings_of(data_name)
        design = study.design_of(data_name)
        self.content: dict = {"design": design, "machine": {}, "real": {}, "seconds": {}, "cells": {}}
        if path.is_file():
            self.content = json.loads(path.read_text(encoding="utf-8"))
            if self.content["design"] != design:
                raise SystemExit(
                    f"error: {path} is of another design than table.py; give another --output, or remove it"
                )

    def figures(self, cell: Cell, seed: int) -> dict[str, float] | None:
        """What training `seed` gave, if it was measured."""
        return self.content["cells"].get(cell.key, {}).get(str(seed))

    def values(self, cell: Cell, figure: str) -> list[float] | None:
        """A figure of all trainings; None unless all of them were measured."""
        found = [self.figures(cell, seed) for seed in range(self.trainings)]
        return None if None in found else [each[figure] for each in found]

    def add(self, cell: Cell, seed: int, figures: dict[str, float]) -> None:
        """Keeps figures, on disk too."""
        rounded = {name: float(f"{value:.{DIGITS}g}") for name, value in figures.items()}
        self.content["cells"].setdefault(cell.key, {})[str(seed)] = rounded
        self.save()

    def add_seconds(self, variant: str, seed: int, seconds: float) -> None:
        """Keeps what a training took."""
        taken = self.content["seconds"].setdefault(variant, {})
        taken[str(seed)] = round(taken.get(str(seed), 0.0) + seconds, 1)

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        with atomic_write(self.path) as temporary:
            temporary.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")


def differences(row: Row, record: Record) -> list[float] | None:
    """The row's figure by training, first minus second; None unless all trainings were measured."""
    first = record.values(row.first, row.figure)
    second = record.values(row.second, row.figure) if isinstance(row.second, Cell) else [row.second] * record.trainings
    return None if first is None or second is None else [a - b for a, b in zip(first, second)]
