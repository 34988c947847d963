"""What a source hands over: the files of a set, not yet decoded."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Archive(NamedTuple):
    """A file that torchvision knows how to get, and what is in it. Paths are relative to the set's root."""

    path: str  # where a user without a network would put it
    urls: tuple[str, ...]  # mirrors of the same file
    md5: str
    unpack_to: str  # the folder that its contents go to
    files: list[str]  # those of its contents that the set needs; only `path` itself: nothing to unpack


class Items(NamedTuple):
    """What is to be decoded, and the class of each.

    pictures: paths, or uint8 (N, H, W) or (N, H, W, 3). labels: int64 (N,), or None where the classes are not known.
    """

    pictures: Sequence[str] | np.ndarray
    labels: np.ndarray | None


class PictureSet(NamedTuple):
    """Pictures on disk, found but not decoded: what the cache is made from, and what tells that it is out of date."""

    source: str
    cache_name: str  # for people, in the name of the cache file: letters, digits, - and _
    root: str  # absolute
    split: str
    files: list[str]  # sorted, relative to root, with slashes
    read: Callable[[], Items]
    class_names: tuple[str, ...]  # one a class, in the order of the labels
    has_labels: bool  # whether `read` gives labels
    archives: tuple[Archive, ...] = ()  # none: nothing to download

    def path(self, name: str) -> str:
        """Where a file of the set lies, as the system writes it."""
        return os.path.normpath(os.path.join(self.root, name))
