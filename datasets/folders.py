"""A folder of the user's own pictures: which files are taken, which are left out and why."""

import os
import re
import stat
from collections import Counter, deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets.decode import EXTENSIONS, FORMATS
from datasets.picture_set import Items, PictureSet
from utils.errors import RequestError, one_line

LONGEST_ENDING = 10  # with the dot; longer ones are parts of names
UNSUPPORTED = {ending for endings in FORMATS.values() for ending in endings} - set(EXTENSIONS)


class Listing(NamedTuple):
    """What is below a folder: the pictures, sorted, relative to it, with slashes; and of the rest how many of each kind."""

    pictures: list[str]
    left_out: Counter[str]


def find_folder(
    data_path: str | None, split: str, class_from_folder: bool = False, require_labels: bool = False
) -> PictureSet:
    """Every picture below `data_path`, sorted by path; see `list_folder`.

    With `class_from_folder` each folder directly below it that holds pictures, at any depth, is a class of its name.
    Raises RequestError: no such folder, no folder, nothing in it, no picture in it, no classes.
    """
    root = find_root(data_path)
    if require_labels and not class_from_folder:
        raise RequestError(
            f"the pictures of {root} have no classes: set data.class_from_folder to true, by which each of its "
            "subfolders is a class"
        )
    pictures, left_out = list_folder(root)
    if not pictures:
        kinds = ", ".join(f"{number} {kind}" for kind, number in left_out.most_common(6))
        found = f"holds only other files ({kinds})" if left_out else "is an empty folder"
        raise RequestError(f"data.data_path: {root} {found}; pictures end in {', '.join(EXTENSIONS)}")
    class_folders = folder_classes(root, pictures) if class_from_folder else ()
    class_names = tuple(map(one_line, class_folders))  # they are printed, and travel in checkpoints
    cache_name = re.sub(r"[^A-Za-z0-9-]+", "-", os.path.basename(root)).strip("-") or "folder"
    read = partial(read_folder, root, pictures, class_folders)
    return PictureSet("folder", cache_name, root, split, pictures, read, class_names, class_from_folder)


def find_root(data_path: str | None) -> str:
    """The folder's absolute path. RequestError where there is no such folder."""
    if data_path is None:
        raise RequestError("a data set of pictures in a folder needs data.data_path")
    root = os.path.realpath(os.path.expanduser(data_path))
    if not os.path.isdir(root):
        problem = "is a file, not a folder of pictures" if os.path.exists(root) else "does not exist"
        raise RequestError(f"data.data_path: {root} {problem}")
    return root


def folder_classes(root: str, pictures: list[str]) -> tuple[str, ...]:
    """The sorted names of the folders directly below `root`. RequestError where a picture lies in none of them."""
    loose = [name for name in pictures if "/" not in name]
    if loose:
        raise RequestError(
            f"data.class_from_folder: {root} itself holds pictures ({len(loose)}, such as {loose[0]}), which are of no "
            "class; move them into one of its subfolders"
        )
    return tuple(sorted({name.split("/")[0] for name in pictures}))


def read_folder(root: str, pictures: list[str], class_folders: tuple[str, ...]) -> Items:
    """The paths of the pictures and, where there are classes, the number of each one's folder."""
    paths = [os.path.normpath(os.path.join(root, name)) for name in pictures]
    if not class_folders:
        return Items(paths, None)
    numbers = {name: number for number, name in enumerate(class_folders)}
    return Items(paths, np.array([numbers[name.split("/")[0]] for name in pictures], np.int64))


def list_folder(root: str) -> Listing:
    """The regular files below `root` whose names end as pictures' do, and what else is there.

    Links to files are followed; one that leads nowhere counts as a picture, which is unreadable, rather than as none.
    Hidden files and folders are left out (macOS writes ._x.jpg). Links to folders: see `walk_folders`.
    """
    pictures, left_out = [], Counter()
    for folder, names in walk_folders(root, left_out):
        for name in names:
            path = os.path.join(folder, name)
            kind = kind_left_out(path)
            if kind is None:
                pictures.append(os.path.relpath(path, root).replace(os.sep, "/"))
            else:
                left_out[kind] += 1
    return Listing(sorted(pictures), left_out)


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
    ending = os.path.splitext(name)[1].lower()
    if name.startswith("."):
        return "hidden"
    if not is_file(path):
        return "no file"
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
