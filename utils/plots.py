"""Curves, drawn by matplotlib as SVG: small, sharp at any size, and the same bytes for the same numbers."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")  # draws into files: no screen is looked for
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from utils.files import atomic_write

STYLE = {
    "svg.hashsalt": "fixed",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


class Curve(NamedTuple):
    """A line of a plot: points (x, y) in the order they are joined; `y_error`, if given, is drawn above and below each.

    colour: its number among matplotlib's colours; None: the next one.
    """

    label: str
    x: list[float]
    y: list[float]
    y_error: list[float] | None = None
    dashed: bool = False
    colour: int | None = None


def plot(
    curves: list[Curve], title: str, x_label: str, y_label: str, *, log_x: bool = False, marked: bool = False
) -> Figure:
    """The curves in one plot, with a legend if there are several. `marked` puts a dot on each point; a curve of
    one point, which has no line, is always one."""
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
        for curve in curves:
            marker = "o" if marked or len(curve.x) == 1 else ""
            style = {"linestyle": "--" if curve.dashed else "-", "marker": marker, "markersize": 3.5}
            if curve.colour is not None:
                style["color"] = f"C{curve.colour}"
            axes.errorbar(curve.x, curve.y, curve.y_error, label=curve.label, linewidth=1.2, capsize=2, **style)
        axes.set(title=title, xlabel=x_label, ylabel=y_label, xscale="log" if log_x else "linear")
        if log_x:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        if len(curves) > 1 and marked:
            figure.legend(loc="outside right upper", frameon=False, fontsize=8)  # error bars leave no room inside
        elif len(curves) > 1:
            axes.legend(frameon=False, fontsize=8)
    plt.close(figure)
    return figure


def svg(figure: Figure) -> bytes:
    """The figure as SVG, without a date."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def save_plot(path: Path, figure: Figure, texts: Mapping[str, str] | None = None) -> Path:
    """Writes the figure as PNG, and in it the `texts`, each by its key; returns `path`."""
    with atomic_write(path) as temporary, matplotlib.rc_context(STYLE):
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None, **(texts or {})})
    return path


def data_uri(content: bytes, kind: str) -> str:
    """A picture as an address that holds all of it: `kind` is image/png or image/svg+xml."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
