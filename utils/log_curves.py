"""The figures of a run's log as curves."""

import re

from utils.plots import Curve


def grouped_curves(lines: list[dict]) -> dict[str, list[Curve]]:
    """A curve for each number in the log, those of one kind in one plot: loss with loss_q1 ..., drawn_mean_0 with data_mean_0.

    What describes the data, beside which the drawn is judged, is dashed, in the colour of its counterpart.
    """
    groups: dict[str, list[Curve]] = {}
    colours: dict[str, dict[str, int]] = {}
    names = dict.fromkeys(name for line in lines for name, value in line.items() if name != "step" and is_number(value))
    for name in names:
        points = [(line["step"], line[name]) for line in lines if is_number(line.get(name))]
        kind = re.sub(r"^(drawn|data)_|_q?\d+$", "", name).replace("_", " ")
        whose = colours.setdefault(kind, {})
        colour = whose.setdefault(re.sub(r"^(drawn|data)_", "", name), len(whose))
        steps, values = (list(column) for column in zip(*points))
        groups.setdefault(kind, []).append(Curve(name, steps, values, dashed=name.startswith("data_"), colour=colour))
    return groups


def is_number(value: object) -> bool:
    """Whether it can be a point of a curve."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
