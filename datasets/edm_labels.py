"""EDM's dataset.json: {"labels": [["00000/img00000000.png", 6], ...]}, the class of each picture by its name."""

import json
from collections.abc import Sequence

import numpy as np

from utils.errors import RequestError, one_line

LABEL_FILE = "dataset.json"
LARGEST = 2**27  # bytes: several million pictures
MOST_CLASSES = 100_000


def read_labels(content: bytes, names: Sequence[str], place: str) -> np.ndarray | None:
    """The class of each of `names`, int64 (N,); None where the file says that there are no labels, or is of another kind.

    RequestError, naming `place`, where a picture has none, or where a label is no number of a class.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{place} is no JSON ({one_line(str(error))}); mend or remove it") from None
    pairs = document.get("labels") if isinstance(document, dict) else None
    if pairs is None:
        return None
    try:
        by_name = {name.replace("\\", "/"): label for name, label in pairs}
    except (AttributeError, TypeError, ValueError):
        raise RequestError(f'{place}: "labels" is no list of [name, class]; mend or remove it') from None
    labels = np.zeros(len(names), np.int64)
    for number, name in enumerate(names):
        label = by_name.get(name)
        if type(label) is not int or not 0 <= label < MOST_CLASSES:
            what = "is not in it" if name not in by_name else f"has the label {one_line(repr(label)[:80])}"
            raise RequestError(f"{place}: {one_line(name)} {what}; a class is a number from 0 to {MOST_CLASSES - 1:,}")
        labels[number] = label
    return labels


def numbered(labels: np.ndarray) -> tuple[str, ...]:
    """Names of classes that are known by their numbers alone: 0 to the largest."""
    return tuple(map(str, range(int(labels.max()) + 1))) if len(labels) else ()
