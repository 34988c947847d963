"""What a source hands over: the files of a set, not yet decoded."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Archive(NamedTuple):
    """A file that torchvision knows how to get, and what is in it. Paths are relative to the set's root."""

    path: str  # where a user without a network would put it
    urls: tuple[str, ...]  # mirrors of the same file
    md5: str
    unpack_to: str  # the folder that its contents go to
    files: list[str]  # those of its contents that the set needs


class PictureSet(NamedTuple):
    """Pictures on disk, found but not decoded: what the cache is made from, and what tells that it is out of date."""

    source: str
    label: str  # for people, in the name of the cache file: letters, digits, - and _
    root: str  # absolute
    split: str
    files: list[str]  # sorted, relative to root, with slashes
    read: Callable[[], np.ndarray] | None = None  # -> uint8 (N, H, W) or (N, H, W, 3). None: each file is one picture
    archives: tuple[Archive, ...] = ()  # none: nothing to download
