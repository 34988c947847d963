"""What is on disk: each source finds the files of a set of pictures, and decodes nothing."""

import os
from functools import partial

import numpy as np

from datasets.downloads import find_cifar10, find_flower102, find_mnist
from datasets.facts import FACTS, check_split
from datasets.folders import find_folder
from datasets.picture_set import Items, PictureSet
from utils.errors import RequestError

ASSETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "assets")


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
