"""A folder of the user's own pictures: which files are taken, which are left out and why."""

import os
import re
import stat
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.decode import EXTENSIONS, FORMATS
from datasets.edm_labels import LABEL_FILE, LARGEST, numbered, read_labels
from datasets.picture_set import Items, PathPictures, PictureSet
from utils.errors import RequestError, one_line

LONGEST_ENDING = 10  # with the dot; longer ones are parts of names
NO_CLASSES = (
    "set data.class_from_folder to true, by which each of its subfolders is a class, or put EDM's dataset.json into it"
)
UNSUPPORTED = {ending for endings in FORMATS.values() for ending in endings} - set(EXTENSIONS)


class Listing(NamedTuple):
    """What is below a folder: the pictures, sorted, relative to it, with slashes; of the rest how many of each kind, and which
    of those are parquet files."""

    pictures: list[str]
    left_out: Counter[str]
    parquet: list[str]


def find_folder(
    root: str, listing: Listing, split: str, class_from_folder: bool = False, require_labels: bool = False
) -> PictureSet:
    """Every picture below `root`, an absolute path, sorted by path: the `listing` of `list_folder`.

    With `class_from_folder` each folder directly below it that holds pictures, at any depth, is a class of its name; else
    EDM's dataset.json gives the classes, if there is one. Raises RequestError: no picture in it, no classes.
    """
    pictures, left_out, _ = listing
    if not pictures:
        raise RequestError(f"data.data_path: {root} {found_words(left_out)}; pictures end in {', '.join(EXTENSIONS)}")
    labels, class_names, files, label_file = None, (), pictures, os.path.join(root, LABEL_FILE)
    if class_from_folder:
        class_names = folder_classes(root, pictures)
    elif os.path.isfile(label_file):
        labels = labels_of_file(label_file, os.stat(label_file).st_mtime_ns, tuple(pictures))
    if labels is not None:
        class_names, files = numbered(labels), sorted([*pictures, LABEL_FILE])
        left_out = left_out - Counter({".json": 1})
    if require_labels and not class_names:
        raise RequestError(f"the pictures of {root} have no classes: {NO_CLASSES}")
    read = partial(read_folder, root, pictures, class_names if class_from_folder else (), labels)
    return PictureSet(
        "folder",
        cache_name_of(root),
        root,
        split,
        files,
        len(pictures),
        read,
        tuple(map(one_line, class_names)),  # they are printed, and travel in checkpoints
        bool(class_names),
        left_out=dict(left_out.most_common()),
    )


def cache_name_of(path: str) -> str:
    """A word for the names of files, from a folder's or a file's own name."""
    name = re.sub(r"[^A-Za-z0-9-]+", "-", os.path.basename(path).split(".")[0] or os.path.basename(path)).strip("-")
    return name or "folder"


def found_words(left_out: Mapping[str, int]) -> str:
    """What is to be said of a place without pictures."""
    kinds = ", ".join(f"{number} {kind}" for kind, number in Counter(left_out).most_common(6))
    return f"holds only other files ({kinds})" if left_out else "is an empty folder"


def folder_classes(root: str, pictures: list[str]) -> tuple[str, ...]:
    """The sorted names of the folders directly below `root`. RequestError where a picture lies in none of them."""
    loose = [name for name in pictures if "/" not in name]
    if loose:
        raise RequestError(
            f"data.class_from_folder: {root} itself holds pictures ({len(loose)}, such as {loose[0]}), which are of no "
            "class; move them into one of its subfolders"
        )
    return tuple(sorted({name.split("/")[0] for name in pictures}))


@lru_cache(maxsize=1)
def labels_of_file(path: str, changed: int, pictures: tuple[str, ...]) -> np.ndarray | None:
    """The labels in a dataset.json of that time: a training asks for them several times. See `read_labels`."""
    if os.path.getsize(path) > LARGEST:
        raise RequestError(f"{path} is larger than {LARGEST:,} bytes: it is something else; move it away")
    with open(path, "rb") as file:
        return read_labels(file.read(), pictures, path)


def read_folder(root: str, pictures: list[str], class_folders: tuple[str, ...], labels: np.ndarray | None) -> Items:
    """The pictures and, where there are classes, the number of each one's folder, or the `labels` that are known already."""
    if class_folders:
        numbers = {name: number for number, name in enumerate(class_folders)}
        labels = np.array([numbers[name.split("/")[0]] for name in pictures], np.int64)
    return Items(PathPictures(root, pictures), labels)


def list_folder(root: str) -> Listing:
    """The regular files below `root` whose names end as pictures' do, and what else is there.

    Links to files are followed; one that leads nowhere counts as a picture, which is unreadable, rather than as none.
    Hidden files and folders are left out (macOS writes ._x.jpg). Links to folders: see `walk_folders`.
    """
    pictures, left_out, parquet = [], Counter(), []
    for folder, names in walk_folders(root, left_out):
        below = os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        below = "" if below == "./" else below
        for name in names:
            kind = kind_left_out(os.path.join(folder, name))
            if kind is None:
                pictures.append(below + name)
                continue
            left_out[kind] += 1
            if kind == ".parquet":
                parquet.append(below + name)
    return Listing(sorted(pictures), left_out, sorted(parquet))


def walk_folders(root: str, left_out: Counter[str]) -> Iterator[tuple[str, list[str]]]:
    """Each folder below `root` with the names of its files, the real ones first, then those to which links lead.

    A link to a folder is followed wherever it leads, unless that holds `root` (it would draw in whatever lies beside
    it), and each real folder is read once. What is not followed is counted in `left_out`.
    """

    def refuse(error: OSError) -> None:
        raise RequestError(f"cannot list {error.filename}: {error.strerror}")  # its pictures would be missing unnoticed

    seen, starts = set(), deque([root])
    while starts:
        start = starts.popleft()
        for folder, folders, files in os.walk(start, onerror=refuse):
            real = os.path.normcase(os.path.realpath(folder))
            if real in seen:
                if folder == start:
                    left_out["links to a folder that is read already"] += 1
                folders.clear()
                continue
            seen.add(real)
            yield folder, files
            plain = []
            for name in sorted(folders):
                path = os.path.join(folder, name)
                if name.startswith("."):
                    left_out["hidden"] += 1
                elif not os.path.islink(path):
                    plain.append(name)
                elif Path(root).is_relative_to(os.path.realpath(path)):
                    left_out["links to a folder that holds this one"] += 1
                else:
                    starts.append(path)
            folders[:] = plain


def kind_left_out(path: str) -> str | None:
    """What the file is that is no picture to be read; None where it is one."""
    name = os.path.basename(path)
    if not name.startswith(".") and not is_file(path):
        return "no file"
    return kind_of_name(name)


def kind_of_name(name: str) -> str | None:
    """What a file of this name, which may have folders, is that is no picture to be read; None where it is one."""
    ending = os.path.splitext(name)[1].lower()
    if name.startswith(".") or "/." in name:
        return "hidden"
    if ending in EXTENSIONS:
        return None
    if ending in UNSUPPORTED:
        return f"{ending} (which this Pillow cannot read)"
    return one_line(ending) if 0 < len(ending) <= LONGEST_ENDING else "of no known ending"


def is_file(path: str) -> bool:
    """Whether `path` is, or ought to lead to, a regular file: opening a FIFO would wait for ever."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True
