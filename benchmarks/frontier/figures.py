"""What the records give: a cell's mean and deviation over the trainings, and the curves of the plot."""

import hashlib
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.experiments.cells import Cell
from benchmarks.experiments.record import Record, differences
from benchmarks.experiments.study import ROOT, Row
from benchmarks.frontier.table import (
    COLOUR,
    DATA,
    GREY,
    STUDENT,
    STUDY,
    TEACHER,
    TUNED,
    VARIANTS,
    Line,
    Times,
    lines_of,
)
from utils.plots import STYLE, Curve, plt

DIGEST = "figures"  # the key under which the plot carries which numbers it shows
PANELS = {
    "Digits": (GREY,),
    "Emoji": (COLOUR,),
    "Shipped digits": (TUNED, TEACHER, STUDENT),
}


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


def curve(line: Line, record: Record | None, colours: Sequence[str]) -> Curve | None:
    """The KID of a line by its calls, as far as it was measured; a solver of its own is dashed."""
    points = [point for cell in line.cells if (point := found(record, cell, "kid")) is not None]
    if not points:
        return None
    name = line.variant if line.variant in VARIANTS else line.solver
    label = line.variant if line.solver == "DPMPP" else f"{line.variant}, {line.solver}"
    return Curve(
        label,
        [point.calls for point in points],
        [point.mean for point in points],
        [point.sd for point in points],
        dashed=line.variant in VARIANTS and line.solver != "DPMPP",
        colour=colours.index(name),
    )


def curves_of(records: dict[str, Record | None]) -> dict[str, list[Curve]]:
    """Of each panel of which something was measured."""
    curves: dict[str, list[Curve]] = {}
    for title, names in PANELS.items():
        lines = [(name, line) for name in names for line in lines_of(name)]
        colours = list(dict.fromkeys(line.variant if line.variant in VARIANTS else line.solver for _, line in lines))
        made = [curve(line, records[name], colours) for name, line in lines]
        curves[title] = [each for each in made if each is not None]
    return {title: some for title, some in curves.items() if some}


def digest(curves: dict[str, list[Curve]]) -> str:
    """Of all numbers that the plot shows."""
    return hashlib.sha256(json.dumps(curves).encode()).hexdigest()[:16]


def plot(curves: dict[str, list[Curve]]) -> Figure:
    """KID by network calls, a panel a kind of network; error bars are standard deviations over the trainings."""
    with matplotlib.rc_context(STYLE):
        shape = {"figsize": (11.5, 3.6), "layout": "constrained", "squeeze": False}
        figure, panels = plt.subplots(1, max(1, len(curves)), **shape)
        for axes, (title, some) in zip(panels[0], curves.items()):
            for each in some:
                axes.errorbar(
                    each.x, each.y, each.y_error, label=each.label, linewidth=1.2, capsize=2, marker="o", markersize=3.5,
                    linestyle="--" if each.dashed else "-", color=f"C{each.colour}",
                )  # fmt: skip
            axes.set(title=title, xlabel="network calls a picture", ylabel="KID", xscale="log")
            if any(y <= 0 for each in some for y in each.y):  # an unbiased estimate of nearly nothing may be negative
                axes.set_yscale("symlog", linthresh=0.01)
            else:
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter("")
            if some:
                axes.legend(frameon=False, fontsize=7)
    plt.close(figure)
    return figure
