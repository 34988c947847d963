"""What a run's folder tells of it: the log, line by line and as curves, and the sheets of pictures."""

import json
import re
from pathlib import Path

from utils.plots import Curve


def read_log(path: Path) -> list[dict]:
    """The lines of a log.jsonl, but for the torn last one of a run that is being written or was killed."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int):
            lines.append(line)
    return lines


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


def words_of(line: dict) -> list[str]:
    """What a line of the log says in words: its warnings."""
    texts = [value if isinstance(value, list) else [value] for value in line.values() if isinstance(value, (str, list))]
    return [str(text) for part in texts for text in part]


def is_number(value: object) -> bool:
    """Whether it can be a point of a curve."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def evenly(items: list, most: int) -> list:
    """At most `most` of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def sheets_of(folder: Path) -> dict[int, Path]:
    """The sheets that the training drew, each by its step, the first one first."""
    found = {int(path.stem[5:]): path for path in (folder / "samples").glob("step_*.png") if path.stem[5:].isdecimal()}
    return dict(sorted(found.items()))
