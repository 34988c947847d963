"""What a source hands over: the pictures of a set, found but not decoded, and how they are read one after another."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from datasets.decode import UnreadablePictureError

# The path of a picture's file, the bytes of one, pixels (uint8 (H, W) or (H, W, C)), or why there is none of these.
Item = str | bytes | np.ndarray | UnreadablePictureError


class Archive(NamedTuple):
    """A file that torchvision knows how to get, and what is in it. Paths are relative to the set's root."""

    path: str  # where a user without a network would put it
    urls: tuple[str, ...]  # mirrors of the same file
    md5: str
    unpack_to: str  # the folder that its contents go to
    files: list[str]  # those of its contents that the set needs; only `path` itself: nothing to unpack


class Pictures(ABC):
    """The pictures of a set, numbered from 0. They are read in ranges of places: the order in which reading is fast.

    A subclass holds little and can be pickled where `is_encoded`: each process that decodes gets a copy.
    """

    is_encoded = True  # the items are to be decoded: worth several processes

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, number: int) -> str:
        """What a picture is called when it cannot be read."""

    @abstractmethod
    def read(self, places: range, limit: int | None = None) -> Iterator[tuple[int, Item]]:
        """The pictures at some `places`, ascending, each with its number. `limit`: bytes of a file that are enough."""

    def chunks(self, size: int) -> list[range]:
        """All places in ranges of about `size`, cut where reading can begin."""
        return [range(start, min(start + size, len(self))) for start in range(0, len(self), size)]

    def some(self, count: int, limit: int) -> Iterator[Item]:
        """At most `count` pictures, evenly spread, of whose files `limit` bytes are enough."""
        for place in range(0, len(self), max(1, -(-len(self) // count))):
            for _, item in self.read(range(place, place + 1), limit):
                yield item


class PathPictures(Pictures):
    """Pictures in files of their own."""

    def __init__(self, root: str, names: Sequence[str]):
        """`names` are relative to `root`, with slashes."""
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, number: int) -> str:
        return os.path.normpath(os.path.join(self.root, self.names[number]))

    def read(self, places: range, limit: int | None = None) -> Iterator[tuple[int, Item]]:
        """Paths: Pillow reads no more of the files than it needs."""
        for number in places:
            yield number, self.name(number)


class ArrayPictures(Pictures):
    """Pictures that are pixels already: uint8 (N, H, W) or (N, H, W, C), C one of 1, 3 and 4; it may be a memory map."""

    is_encoded = False

    def __init__(self, pixels: np.ndarray):
        assert pixels.dtype == np.uint8 and pixels.ndim in (3, 4), (pixels.dtype, pixels.shape)
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, number: int) -> str:
        return f"picture {number}"

    def read(self, places: range, limit: int | None = None) -> Iterator[tuple[int, Item]]:
        yield from zip(places, self.pixels[places.start : places.stop])

    def some(self, count: int, limit: int) -> Iterator[Item]:
        """The first: they are of one size."""
        yield from self.pixels[:1]


class Items(NamedTuple):
    """What is to be decoded, and the class of each: int64 (N,), by the pictures' numbers, or None where they are not known."""

    pictures: Pictures
    labels: np.ndarray | None


class PictureSet(NamedTuple):
    """Pictures on disk, found but not decoded: what the cache is made from, and what tells that it is out of date."""

    source: str
    cache_name: str  # for people, in the name of the cache file: letters, digits, - and _
    root: str  # absolute: a folder
    split: str
    files: Sequence[str]  # all that the set is read from; sorted, relative to root, with slashes
    picture_num: int
    read: Callable[[], Items]
    class_names: tuple[str, ...]  # one a class, in the order of the labels
    has_labels: bool  # whether `read` gives labels
    archives: tuple[Archive, ...] = ()  # none: nothing to download
    labels_by: str = ""  # where the labels come from, where the same `files` may give several
    left_out: Mapping[str, int] = {}  # what lies beside the pictures and is not taken: how many of each kind
    notes: tuple[str, ...] = ()  # what a user should be told of how the files were understood
    keep: Callable[[], None] = lambda: None  # called when the cache is being built: keeps what was slow to find

    def path(self, name: str) -> str:
        """Where a file of the set lies, as the system writes it."""
        return os.path.normpath(os.path.join(self.root, name))
