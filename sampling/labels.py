"""Which class each picture is of: asked for by --class_label, or following from the picture's seed."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from utils.classes import class_called, classes_in_words
from utils.errors import RequestError
from utils.seeds import derive_seed

ALL = "all"


def labels_for(
    seeds: Sequence[int],
    spec: str | None,
    num_classes: int,
    class_names: Sequence[str] = (),
    class_counts: Sequence[float] = (),
) -> list[int] | None:
    """The label of each seed's picture, 0 to num_classes - 1; None for a network without classes (`num_classes` 0).

    `spec` is --class_label: `3` or a class's name; several of them with commas between, where the picture of seed k is of
    the (k mod their number)-th; `all`: of class k mod num_classes. None: each picture's class follows from its seed, as
    often as `class_counts`, of the training pictures, say (none given: all classes alike).

    RequestError for a class that there is not, and for a `spec` where there are no classes.
    """
    if num_classes == 0:
        if spec is not None:
            raise RequestError(f"--class_label {spec}: the network was trained without classes; leave the option out")
        return None
    if spec is None:
        bounds = list(accumulate(class_counts or [1] * num_classes))
        places = [derive_seed(seed, "class") / 2**63 * bounds[-1] for seed in seeds]
        return [min(bisect_right(bounds, place), num_classes - 1) for place in places]
    asked = classes_asked_for(spec, num_classes, class_names)
    return [asked[seed % len(asked)] for seed in seeds]


def classes_asked_for(spec: str, num_classes: int, class_names: Sequence[str] = ()) -> list[int]:
    """The classes that --class_label names, in its order. RequestError, saying which there are, for any other."""
    if spec == ALL:
        return list(range(num_classes))
    is_name = spec.casefold() in map(str.casefold, class_names)
    parts = [spec] if is_name else spec.split(",")
    return [_class_of(part.strip(), spec, num_classes, class_names) for part in parts]


def _class_of(text: str, spec: str, num_classes: int, class_names: Sequence[str]) -> int:
    """`class_called`. RequestError for what is none."""
    label = class_called(text, num_classes, class_names)
    if label is None:
        there = classes_in_words(num_classes, class_names)
        raise RequestError(f"--class_label {spec}: there is no class {text!r}; the classes are {there}, or {ALL}")
    return label
