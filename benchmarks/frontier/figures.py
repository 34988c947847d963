"""What the records give: a cell's mean and deviation over the trainings, and the differences that are judged."""

import json
import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.experiments.cells import Cell
from benchmarks.experiments.record import Record, differences
from benchmarks.experiments.study import ROOT, Row
from benchmarks.frontier.table import DATA, STUDENT, STUDY, TEACHER, Times


class Found(NamedTuple):
    """A figure over the trainings, and what a picture costs."""

    mean: float
    sd: float
    calls: int
    seconds: float


def read(folder: Path) -> dict[str, Record | None]:
    """The record of each data set; None where its checkpoint does not exist yet, or has changed since it was measured."""
    return {name: record_of(folder / f"{name}.json", name) for name in DATA}


def record_of(path: Path, data_name: str) -> Record | None:
    """See `read`."""
    checkpoint = DATA[data_name].checkpoint
    if checkpoint is not None:
        if not (ROOT / checkpoint).is_file():
            return None
        if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["design"] != STUDY.design_of(data_name):
            return None
    return Record(path, STUDY, data_name)


def found(record: Record | None, cell: Cell, figure: str) -> Found | None:
    """What a cell gave; None unless all its trainings were measured."""
    values = None if record is None else record.values(cell, figure)
    if values is None:
        return None
    seconds = statistics.median(record.values(cell, "seconds"))
    return Found(statistics.fmean(values), statistics.stdev(values), int(record.values(cell, "calls")[0]), seconds)


def differences_of(row: Row, records: dict[str, Record | None]) -> list[float] | None:
    """The row's figure by training, first minus second; None unless all trainings were measured."""
    record = records[row.data_name]
    return None if record is None else differences(row, record)


def excess_of(claim: Times, records: dict[str, Record | None]) -> list[float] | None:
    """student - factor teacher by set of pictures; None unless all sets of both were measured."""
    student, teacher = records[STUDENT], records[TEACHER]
    first = student and student.values(claim.student, "fid")
    second = teacher and teacher.values(claim.teacher, "fid")
    if not first or not second:
        return None
    return [a - claim.factor * b for a, b in zip(first, second)]
