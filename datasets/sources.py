"""What is on disk: each source finds the pictures of a set, and decodes nothing. For data_path: a table of kinds of files."""

import os
from collections import Counter
from functools import partial

import numpy as np

from datasets.archive_sets import find_archive
from datasets.archives import OPENERS, ZIP_ENDINGS
from datasets.arrays import find_array, has_test_array
from datasets.decode import EXTENSIONS
from datasets.downloads import find_cifar10, find_flower102, find_mnist
from datasets.facts import FACTS, check_split
from datasets.folders import Listing, find_folder, list_folder
from datasets.parquet import find_parquet, split_of
from datasets.picture_set import ArrayPictures, Items, PictureSet
from utils.errors import RequestError

ASSETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "assets")
# The kind of what data_path names -> the endings of its files. A folder holds pictures, or else parquet files.
KINDS = {"archive": (*ZIP_ENDINGS, *OPENERS), "array": (".npy", ".npz"), "parquet": (".parquet",)}


def find_embedded(source: str, data_path: str | None, split: str) -> PictureSet:
    """A set that ships with the repository. Raises RequestError for a `data_path`, which it would not look at."""
    if data_path is not None:
        raise RequestError(f"{source} ships in datasets/assets and has no data_path: leave it out (not {data_path})")
    facts, rows = FACTS[source], rows_of(source, split)
    read, number = partial(read_asset, facts.asset, rows), rows.stop - rows.start
    return PictureSet(source, source, ASSETS, split, [facts.asset], number, read, facts.class_names, True)


def rows_of(source: str, split: str) -> slice:
    """The rows of a split in its set's file, where the splits follow each other."""
    sizes = FACTS[source].splits
    start = sum(list(sizes.values())[: list(sizes).index(split)])
    return slice(start, start + sizes[split])


def read_asset(file: str, rows: slice) -> Items:
    """Rows of an embedded set."""
    with np.load(os.path.join(ASSETS, file), allow_pickle=False) as arrays:
        return Items(ArrayPictures(arrays["images"][rows]), arrays["labels"][rows].astype(np.int64))


def find_pictures(
    source: str,
    data_path: str | None,
    split: str,
    *,
    class_from_folder: bool = False,
    require_labels: bool = False,
    cache_dir: str,
) -> PictureSet:
    """The set that `source` names. Raises RequestError for an unknown source, split or folder, or labels it cannot have."""
    if source not in FACTS:
        raise RequestError(f"data.source: {source!r} is not known; it is one of {', '.join(FACTS)}")
    if class_from_folder and source != "folder":
        raise RequestError(f"data.class_from_folder is for data.source: folder; {source} has its classes already")
    if source == "folder":
        return find_own(data_path, split, class_from_folder, require_labels, cache_dir)
    check_split(source, split)
    if FACTS[source].asset is not None:
        return find_embedded(source, data_path, split)
    match source:
        case "mnist" | "fashion_mnist":
            return find_mnist(source, data_path, split)
        case "cifar10":
            return find_cifar10(data_path, split)
        case "flower102":
            return find_flower102(data_path, split, require_labels)
    raise AssertionError(f"no reader of {source}")


def find_own(
    data_path: str | None, split: str, class_from_folder: bool, require_labels: bool, cache_dir: str
) -> PictureSet:
    """The user's own pictures, whatever `data_path` is: see KINDS."""
    path = real_path(data_path)
    kind, listing = kind_of(path)
    if split not in splits_of(path, kind, listing):
        check_split("folder", split)
    if class_from_folder and kind in ("array", "parquet"):
        raise RequestError(f"data.class_from_folder is for folders, zip and tar files; {path} has its classes itself, if any")
    match kind:
        case "archive":
            return find_archive(path, split, class_from_folder, require_labels, cache_dir)
        case "array":
            return find_array(path, split, require_labels)
        case "parquet":
            return find_parquet(path, listing, split, require_labels)
    return find_folder(path, listing, split, class_from_folder, require_labels)


def has_split(source: str, data_path: str | None, split: str) -> bool:
    """Whether the set has such a split. RequestError where `data_path` is needed and there is nothing."""
    if source != "folder" or data_path is None or split == "train":
        return source in FACTS and split in FACTS[source].splits
    path = real_path(data_path)
    return split in splits_of(path, *kind_of(path))


def splits_of(path: str, kind: str, listing: Listing) -> tuple[str, ...]:
    """The splits of the user's own pictures: `train`, and `test` where files or arrays are called so."""
    has_test = (kind == "array" and has_test_array(path)) or "test" in map(split_of, listing.parquet)
    return ("train", "test") if has_test else ("train",)


def real_path(data_path: str | None) -> str:
    """The absolute path. RequestError where there is nothing."""
    if data_path is None:
        raise RequestError("a data set of one's own needs data.data_path: a folder of pictures, or a file that holds them")
    path = os.path.realpath(os.path.expanduser(data_path))
    if not os.path.exists(path):
        raise RequestError(f"data.data_path: {path} does not exist; put the pictures there, or name their place")
    return path


def kind_of(path: str) -> tuple[str, Listing]:
    """`folder`, or one of KINDS, and what lies in the folder. RequestError for a file of another kind."""
    if os.path.isdir(path):
        listing = list_folder(path)
        return "parquet" if listing.parquet and not listing.pictures else "folder", listing
    name = os.path.basename(path).lower()
    kind = next((kind for kind, endings in KINDS.items() if name.endswith(endings)), None)
    if kind is None or not os.path.isfile(path):
        what = "a picture" if name.endswith(EXTENSIONS) else "a file of another kind"
        endings = ", ".join(ending for endings in KINDS.values() for ending in endings)
        raise RequestError(f"data.data_path: {path} is {what}, not a folder of pictures nor a file that holds them ({endings})")
    return kind, Listing([], Counter(), ["."] if kind == "parquet" else [])
