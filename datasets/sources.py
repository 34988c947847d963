"""What is on disk: each source finds the files of a set of pictures, and decodes nothing."""

import os
import re
import stat
from functools import partial

import numpy as np

from datasets.downloads import find_cifar10, find_flower102, find_mnist
from datasets.facts import FACTS, check_split
from datasets.picture_set import Items, PictureSet
from utils.errors import RequestError

ASSETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "assets")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def find_folder(
    data_path: str | None, split: str, class_from_folder: bool = False, require_labels: bool = False
) -> PictureSet:
    """Every picture below `data_path`, sorted by path. Hidden files and folders are left out (macOS writes ._x.jpg).

    With `class_from_folder` each folder directly below it that holds pictures, at any depth, is a class of its name.
    Links to files are followed, links to folders are not. A link that leads nowhere counts as an unreadable picture
    rather than as none. Raises RequestError: no such folder, no folder, nothing in it, no picture in it, no classes.
    """
    if data_path is None:
        raise RequestError("a data set of pictures in a folder needs data.data_path")
    root = os.path.realpath(os.path.expanduser(data_path))
    if require_labels and not class_from_folder:
        raise RequestError(
            f"the pictures of {root} have no classes: set data.class_from_folder to true, by which each of its "
            "subfolders is a class"
        )
    if not os.path.isdir(root):
        problem = "is a file, not a folder of pictures" if os.path.exists(root) else "does not exist"
        raise RequestError(f"data.data_path: {root} {problem}")
    pictures, others = [], []
    for name in walk_files(root):
        (pictures if name.lower().endswith(EXTENSIONS) else others).append(name)
    if not pictures:
        found = f"holds only other files ({len(others)}, such as {others[0]})" if others else "is an empty folder"
        raise RequestError(f"data.data_path: {root} {found}; pictures end in {', '.join(EXTENSIONS)}")
    class_names = folder_classes(root, pictures) if class_from_folder else ()
    cache_name = re.sub(r"[^A-Za-z0-9-]+", "-", os.path.basename(root)).strip("-") or "folder"
    read = partial(read_folder, root, pictures, class_names)
    return PictureSet("folder", cache_name, root, split, pictures, read, class_names, class_from_folder)


def folder_classes(root: str, pictures: list[str]) -> tuple[str, ...]:
    """The sorted names of the folders directly below `root`. RequestError where a picture lies in none of them."""
    loose = [name for name in pictures if "/" not in name]
    if loose:
        raise RequestError(
            f"data.class_from_folder: {root} itself holds pictures ({len(loose)}, such as {loose[0]}), which are of no "
            "class; move them into one of its subfolders"
        )
    return tuple(sorted({name.split("/")[0] for name in pictures}))


def read_folder(root: str, pictures: list[str], class_names: tuple[str, ...]) -> Items:
    """The paths of the pictures and, where there are classes, the number of each one's folder."""
    paths = [os.path.join(root, name) for name in pictures]
    if not class_names:
        return Items(paths, None)
    numbers = {name: number for number, name in enumerate(class_names)}
    return Items(paths, np.array([numbers[name.split("/")[0]] for name in pictures], np.int64))


def walk_files(root: str) -> list[str]:
    """The regular files below `root` (and links that lead nowhere), as sorted paths relative to it, with slashes."""

    def refuse(error: OSError) -> None:
        raise RequestError(f"cannot list {error.filename}: {error.strerror}")  # its pictures would be missing unnoticed

    names = []
    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = os.path.join(folder, name)
            if not name.startswith(".") and is_file(path):
                names.append(os.path.relpath(path, root).replace(os.sep, "/"))
    return sorted(names)


def is_file(path: str) -> bool:
    """Whether `path` is, or ought to lead to, a regular file: opening a FIFO would wait for ever."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True


def find_embedded(source: str, data_path: str | None, split: str) -> PictureSet:
    """A set that ships with the repository. Raises RequestError for a `data_path`, which it would not look at."""
    if data_path is not None:
        raise RequestError(f"{source} ships in datasets/assets and has no data_path: leave it out (not {data_path})")
    facts = FACTS[source]
    read = partial(read_asset, facts.asset, rows_of(source, split))
    return PictureSet(source, source, ASSETS, split, [facts.asset], read, facts.class_names, True)


def rows_of(source: str, split: str) -> slice:
    """The rows of a split in its set's file, where the splits follow each other."""
    sizes = FACTS[source].splits
    start = sum(list(sizes.values())[: list(sizes).index(split)])
    return slice(start, start + sizes[split])


def read_asset(file: str, rows: slice) -> Items:
    """Rows of an embedded set."""
    with np.load(os.path.join(ASSETS, file), allow_pickle=False) as arrays:
        return Items(arrays["images"][rows], arrays["labels"][rows].astype(np.int64))


def find_pictures(
    source: str, data_path: str | None, split: str, *, class_from_folder: bool = False, require_labels: bool = False
) -> PictureSet:
    """The set that `source` names. Raises RequestError for an unknown source, split or folder, or labels it cannot have."""
    if source not in FACTS:
        raise RequestError(f"data.source: {source!r} is not known; it is one of {', '.join(FACTS)}")
    check_split(source, split)
    if class_from_folder and source != "folder":
        raise RequestError(f"data.class_from_folder is for data.source: folder; {source} has its classes already")
    if FACTS[source].asset is not None:
        return find_embedded(source, data_path, split)
    match source:
        case "folder":
            return find_folder(data_path, split, class_from_folder, require_labels)
        case "mnist" | "fashion_mnist":
            return find_mnist(source, data_path, split)
        case "cifar10":
            return find_cifar10(data_path, split)
        case "flower102":
            return find_flower102(data_path, split, require_labels)
    raise AssertionError(f"no reader of {source}")
