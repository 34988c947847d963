"""What is on disk: each source finds the files of a set of pictures, and decodes nothing."""

import os
import re
import stat
from collections.abc import Callable
from functools import partial

import numpy as np

from datasets.downloads import (
    check_split,
    find_cifar10,
    find_flower102,
    find_mnist,
    read_mnist,
    torchvision_root,
)
from datasets.picture_set import PictureSet
from utils.errors import RequestError

ASSETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "assets")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def find_folder(data_path: str | None, split: str) -> PictureSet:
    """Every picture below `data_path`, sorted by path. Hidden files and folders are left out (macOS writes ._x.jpg).

    Links to files are followed, links to folders are not. A link that leads nowhere counts as an unreadable picture
    rather than as none. Raises RequestError: no such folder, no folder, nothing in it, no picture in it.
    """
    if data_path is None:
        raise RequestError("a data set of pictures in a folder needs data.data_path")
    root = os.path.realpath(os.path.expanduser(data_path))
    check_split(f"the folder {root}", split, ("train",))
    if not os.path.isdir(root):
        problem = "is a file, not a folder of pictures" if os.path.exists(root) else "does not exist"
        raise RequestError(f"data.data_path: {root} {problem}")
    pictures, others = [], []
    for name in walk_files(root):
        (pictures if name.lower().endswith(EXTENSIONS) else others).append(name)
    if not pictures:
        found = f"holds only other files ({len(others)}, such as {others[0]})" if others else "is an empty folder"
        raise RequestError(f"data.data_path: {root} {found}; pictures end in {', '.join(EXTENSIONS)}")
    label = re.sub(r"[^A-Za-z0-9-]+", "-", os.path.basename(root)).strip("-") or "folder"
    return PictureSet("folder", label, root, split, pictures)


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


def read_asset(file: str, key: str, part: slice) -> np.ndarray:
    """Rows of one array of an embedded set."""
    with np.load(os.path.join(ASSETS, file), allow_pickle=False) as arrays:
        return arrays[key][part]


# Source -> its file below assets/, and the rows of each split.
EMBEDDED = {
    "mnist_mini": ("mnist_mini.npz", {"train": slice(7000), "test": slice(7000, None)}),
    "emoji": ("emoji_64.npz", {"train": slice(None)}),
}
LABELLED = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}


def find_embedded(source: str, data_path: str | None, split: str) -> PictureSet:
    """A set that ships with the repository. Raises RequestError for a `data_path`, which it would not look at."""
    if data_path is not None:
        raise RequestError(f"{source} ships in datasets/assets and has no data_path: leave it out (not {data_path})")
    file, parts = EMBEDDED[source]
    check_split(source, split, tuple(parts))
    return PictureSet(source, source, ASSETS, split, [file], partial(read_asset, file, "images", parts[split]))


# Every source: (data_path, split) -> PictureSet.
SOURCES: dict[str, Callable[[str | None, str], PictureSet]] = {
    "folder": find_folder,
    "mnist_mini": partial(find_embedded, "mnist_mini"),
    "emoji": partial(find_embedded, "emoji"),
    "mnist": partial(find_mnist, "mnist", LABELLED["mnist"]),
    "fashion_mnist": partial(find_mnist, "fashion_mnist", LABELLED["fashion_mnist"]),
    "cifar10": find_cifar10,
    "flower102": find_flower102,
}


def find_pictures(source: str, data_path: str | None, split: str) -> PictureSet:
    """The set that `source` names. Raises RequestError for an unknown source, split or folder."""
    if source not in SOURCES:
        raise RequestError(f"data.source: {source!r} is not known; it is one of {', '.join(SOURCES)}")
    return SOURCES[source](data_path, split)


def load_labels(source: str, split: str = "train", data_path: str | None = None) -> np.ndarray:
    """The classes of an embedded set, of MNIST or Fashion-MNIST (in `data_path`, where `load_images` found or put it):
    uint8 (N,), in the order of its pictures."""
    if source in LABELLED:
        return read_mnist(LABELLED[source], torchvision_root(data_path), split, "targets").astype(np.uint8)
    assert source in EMBEDDED, (source, list(EMBEDDED))
    file, parts = EMBEDDED[source]
    check_split(source, split, tuple(parts))
    return read_asset(file, "labels", parts[split])
