"""What a run's folder tells of it: the log, line by line, and the sheets of pictures."""

import json
from pathlib import Path


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


def words_of(line: dict) -> list[str]:
    """What a line of the log says in words: its warnings."""
    texts = [value if isinstance(value, list) else [value] for value in line.values() if isinstance(value, (str, list))]
    return [str(text) for part in texts for text in part]


def evenly(items: list, most: int) -> list:
    """At most `most` of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def sheet_path(folder: Path, step: int) -> Path:
    """Where the training in `folder` writes the sheet that it draws after `step`."""
    return folder / "samples" / f"step_{step:06d}.png"


def sheets_of(folder: Path) -> dict[int, Path]:
    """The sheets that the training drew, each by its step, the first one first."""
    found = {int(path.stem[5:]): path for path in (folder / "samples").glob("step_*.png") if path.stem[5:].isdecimal()}
    return dict(sorted(found.items()))
