"""Curves as SVG in the page's own colours, light and dark: a few lines over one axis, with points marked on them.

By hand, as gradio's LinePlot marks no points, dashes no line and is one component a plot, of which a training's log has any
number; and as matplotlib takes 0.2 s a plot, where these follow a slider.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 560, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 40
TICKS = 5
COLOURS = 5  # in style.css: .curve0 ...


class Line(NamedTuple):
    """A curve: its name; its points (x, y), of which those that are not finite are left out; marks: points to put dots on;
    peak: a point to put a ring around; dashed: of something that it is only held against."""

    name: str
    points: Sequence[tuple[float, float]]
    marks: Sequence[tuple[float, float]] = ()
    peak: tuple[float, float] | None = None
    dashed: bool = False


def chart(lines: Sequence[Line], title: str, x_label: str) -> str:
    """The lines in one plot, as a figure of HTML; what it shows is also said in words, to a screen reader."""
    points = [point for line in lines for point in line.points if all(map(math.isfinite, point))]
    if not points:
        return ""
    x_low, x_high = _bounds([x for x, _ in points])
    y_low, y_high = _rounded(*_bounds([y for _, y in points]))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + (point[0] - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (point[1] - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)
        return round(x, 1), round(y, 1)

    parts = []
    for value in _ticks(y_low, y_high):
        _, y = place((x_low, value))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:.4g}</text>')
    for value in _ticks(x_low, x_high):
        x, _ = place((value, y_low))
        parts.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value:.6g}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>'
    )
    for number, line in enumerate(lines):
        style = f"curve curve{number % COLOURS}{' dashed' if line.dashed else ''}"
        path = " ".join("{},{}".format(*place(point)) for point in line.points if all(map(math.isfinite, point)))
        parts.append(f'<polyline class="{style}" points="{path}"/>')
        for mark in line.marks:
            parts.append('<circle class="mark curve{}" cx="{}" cy="{}" r="3"/>'.format(number % COLOURS, *place(mark)))
        if line.peak is not None:
            parts.append('<circle class="peak" cx="{}" cy="{}" r="7"/>'.format(*place(line.peak)))
    names = (
        ""
        if len(lines) == 1
        else "".join(
            f'<li class="curve{number % COLOURS}{" dashed" if line.dashed else ""}">{escape(line.name)}</li>'
            for number, line in enumerate(lines)
        )
    )
    spoken = escape(f"{title}: {', '.join(_in_words(line) for line in lines if line.points)}")
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{spoken}">{"".join(parts)}</svg>'
        f'<ul class="legend">{names}</ul></figure>'
    )


def charts(*drawn: str) -> str:
    """Several beside each other, or beneath each other where there is no room."""
    return f'<div class="row charts">{"".join(drawn)}</div>'


def _in_words(line: Line) -> str:
    return f"{line.name} {line.points[0][1]:.4g} ... {line.points[-1][1]:.4g}"


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest, a little apart where they are one."""
    low, high = min(values), max(values)
    if low == high:
        apart = abs(low) / 10 or 1.0
        return low - apart, high + apart
    return low, high


def _rounded(low: float, high: float) -> tuple[float, float]:
    """The bounds, widened to where a tick is."""
    step = _step(low, high)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _step(low: float, high: float) -> float:
    """From one tick to the next: a round number."""
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def _ticks(low: float, high: float) -> list[float]:
    """The round numbers within the bounds."""
    step = _step(low, high)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * number for number in range(first, last + 1)]
