"""The plot of docs/frontier.md: what its panels show, and how they are drawn."""

import hashlib
import json
from typing import NamedTuple

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.experiments.record import Record
from benchmarks.frontier.figures import found
from benchmarks.frontier.table import (
    COLOUR,
    GREY,
    STUDENT,
    TEACHER,
    TRAINED,
    TUNED,
    VARIANTS,
    Line,
    lines_of,
    of_student,
)
from utils.plots import STYLE, Curve, plt

DIGEST = "figures"  # the key under which the plot carries which numbers it shows
TITLES = {GREY: "Digits", COLOUR: "Emoji", TUNED: "Shipped digits: learned timesteps", STUDENT: "Shipped digits: a student"}
LABELS = {"kid": "KID", "fid": "FD, 1,000 pictures a set"}
GREY_LINE = "0.35"
FEW = 4  # numbers of calls: so few are all written at the axis
APART = 0.02  # of the axis: curves at the same few numbers of calls stand side by side, for their error bars to be told apart


class Level(NamedTuple):
    """A horizontal line, and a band of `y_error` above and below it."""

    label: str
    y: float
    y_error: float | None = None


class Panel(NamedTuple):
    """Curves and levels of one figure, "kid" or "fid"."""

    figure: str
    curves: list[Curve]
    levels: list[Level]


def panels_of(records: dict[str, Record | None]) -> dict[str, Panel]:
    """By data set; one of which no curve was measured is left out."""
    panels = {}
    for name in TITLES:
        lines, figure = lines_of(name), "fid" if name == STUDENT else "kid"
        colours = list(dict.fromkeys(colour_of(line) for line in lines))
        made = [curve(line, records[name], figure, colours.index(colour_of(line))) for line in lines]
        levels = levels_of(records[TEACHER]) if name == STUDENT else []
        panels[name] = Panel(figure, [each for each in made if each is not None], levels)
    return {name: panel for name, panel in panels.items() if panel.curves}


def colour_of(line: Line) -> str:
    """What has a colour of its own: a variant, and of a checkpoint a solver or a spacing."""
    return line.variant if line.variant in VARIANTS else line.solver


def curve(line: Line, record: Record | None, figure: str, colour: int) -> Curve | None:
    """A line's figure by its calls, as far as it was measured; a variant's solver of its own is dashed."""
    points = [point for cell in line.cells if (point := found(record, cell, figure)) is not None]
    if not points:
        return None
    own = line.variant in VARIANTS and line.solver != "DPMPP"
    label = f"{line.variant}, {line.solver}" if own else colour_of(line)
    return Curve(
        "student" if line.variant == "student" else label,
        [point.calls for point in points],
        [point.mean for point in points],
        [point.sd for point in points],
        dashed=own,
        colour=colour,
    )


def levels_of(teacher: Record | None) -> list[Level]:
    """The teacher by its best sampler, and the multiples of its distance that its student is to stay within."""
    point = found(teacher, lines_of(TEACHER)[0].cells[0], "fid")
    if point is None:
        return []
    aims = [Level(f"{aim.factor:g} times: aim {aim.where}", aim.factor * point.mean) for aim in of_student()]
    return [Level(f"teacher, {point.calls} calls", point.mean, point.sd), *aims]


def digest(panels: dict[str, Panel]) -> str:
    """Of all numbers that the plot shows."""
    return hashlib.sha256(json.dumps(panels).encode()).hexdigest()[:16]


def plot(panels: dict[str, Panel]) -> Figure:
    """A figure by network calls: above the trainings, under them what ships. Legends stand below the axes, one a group.

    Error bars are standard deviations over the trainings or the sets of pictures.
    """
    trained, shipped = ([name for name in panels if (name in TRAINED) == above] for above in (True, False))
    rows = [groups for groups in ([trained] if trained else [], [[name] for name in shipped]) if groups]
    with matplotlib.rc_context(STYLE):
        figure = plt.figure(figsize=(8.4, 3.7 * max(1, len(rows))), layout="constrained")
        for row, groups in zip(figure.subfigures(max(1, len(rows)), 1, squeeze=False)[:, 0], rows):
            for part, names in zip(row.subfigures(1, len(groups), squeeze=False)[0], groups):
                entries: dict[str, Artist] = {}
                for axes, name in zip(part.subplots(1, len(names), squeeze=False)[0], names):
                    entries |= draw(axes, TITLES[name], panels[name])
                shape = {"loc": "outside lower center", "ncols": 2 * len(names), "fontsize": 8, "frameon": False}
                part.legend(list(entries.values()), list(entries), **shape)
    plt.close(figure)
    return figure


def draw(axes: Axes, title: str, panel: Panel) -> dict[str, Artist]:
    """One panel; returns what its legend shows, by label."""
    calls = sorted({x for each in panel.curves for x in each.x})
    few, entries = len(calls) <= FEW, {}
    for place, each in enumerate(panel.curves):
        shift = (calls[-1] / calls[0]) ** (APART * (place - (len(panel.curves) - 1) / 2)) if few else 1.0
        entries[each.label] = axes.errorbar(
            [x * shift for x in each.x], each.y, each.y_error, linewidth=1.2, capsize=2, marker="o", markersize=3.5,
            linestyle="--" if each.dashed else "-", color=f"C{each.colour}",
        )  # fmt: skip
    for style, level in zip(("-", "--", ":"), panel.levels):
        entries[level.label] = axes.axhline(level.y, color=GREY_LINE, linewidth=1.2, linestyle=style)
        if level.y_error is not None:
            axes.axhspan(level.y - level.y_error, level.y + level.y_error, color=GREY_LINE, alpha=0.15, linewidth=0)
    axes.set(title=title, xlabel="network calls a picture", ylabel=LABELS[panel.figure], xscale="log")
    if few:
        axes.set_xticks(calls)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    scale(axes, panel)
    return entries


def scale(axes: Axes, panel: Panel) -> None:
    """The vertical axis: logarithmic where it spans more than a factor of ten and no error bar reaches 0; else linear."""
    lows, highs = zip(*((y - e, y + e) for each in panel.curves for y, e in zip(each.y, each.y_error)))
    if min(lows) <= 0:
        axes.axhline(0, color=GREY_LINE, linewidth=0.8)
    elif max(highs) <= 10 * min(lows):
        axes.set_ylim(bottom=0)
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
