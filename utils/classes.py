"""The classes of a data set, as they travel in the files of a training."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from utils.errors import RequestError

LONGEST_NAME = 200


class Classes(NamedTuple):
    """names: one a class, in the order of the labels; counts: how many training pictures are of each. () where not known."""

    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()


def class_called(text: str, num_classes: int, names: Sequence[str]) -> int | None:
    """The class by its name, in any case, or by its number; a name that is a number goes before. None: there is none."""
    known = {name.casefold(): label for label, name in enumerate(names)}
    if text.casefold() in known:
        return known[text.casefold()]
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    return int(text) if is_number and int(text) < num_classes else None


def classes_in_words(num_classes: int, names: Sequence[str]) -> str:
    """Which classes there are: their numbers, and the names of the first."""
    first = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"0 to {num_classes - 1}" + (f", by name {first}" if names else "")


def classes_from(content: object, num_classes: int, path: Path) -> Classes:
    """What stands in the file `path`, which may be a stranger's, of the `num_classes` of its network; None: nothing.

    RequestError unless it is one name a class, which can be printed, and the number of its pictures.
    """
    if content is None or num_classes == 0:
        return Classes()
    names, counts = (content.get("names"), content.get("counts")) if isinstance(content, dict) else (None, None)
    if not (
        isinstance(names, list | tuple)
        and isinstance(counts, list | tuple)
        and len(names) == len(counts) == num_classes
        and all(isinstance(name, str) and name.isprintable() and 0 < len(name) <= LONGEST_NAME for name in names)
        and all(type(count) is int and 0 <= count < 2**53 for count in counts)
        and sum(counts) > 0
    ):
        raise RequestError(f"{path} is no checkpoint of this project: its classes are not those of {num_classes} labels")
    return Classes(tuple(names), tuple(counts))
