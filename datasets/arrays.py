"""Arrays of pictures in .npy and .npz files: uint8, either order of the axes, with labels where there are some.

Nothing is ever unpickled, and what a file's head claims is compared with its size before a byte is read for it.
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np

from datasets.archives import check_ratio, why
from datasets.edm_labels import MOST_CLASSES, numbered
from datasets.folders import cache_name_of
from datasets.picture_set import ArrayPictures, Item, Items, Pictures, PictureSet
from utils.errors import RequestError, one_line

IMAGES = ("images", "image", "x", "data", "arr_0")  # names of arrays, the likeliest first
LABELS = ("labels", "label", "y", "targets", "arr_1")
CLASSES = ("classes", "class_names", "label_names")
CHANNELS = (1, 3, 4)
LARGEST_NAMES = 2**24  # bytes of the classes' names
HEADS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
DAMAGED = (EOFError, OSError, ValueError, SyntaxError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


class Array(NamedTuple):
    """An array in an .npz file: its file there, and what its head says."""

    member: str
    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype

    def __str__(self) -> str:
        return f"{one_line(self.member.removesuffix('.npy'))}: {self.dtype} {self.shape}"


class NpzPictures(Pictures):
    """Pictures in an .npz file, read as a stream: they never are in memory all together."""

    is_encoded = False

    def __init__(self, path: str, array: Array):
        self.path, self.array = path, array
        self._stream: BinaryIO | None = None
        self._place = 0  # of the picture that the stream gives next

    def __len__(self) -> int:
        return self.array.shape[0]

    def name(self, number: int) -> str:
        return f"{self.path}: picture {number}"

    def read(self, places: range, limit: int | None = None) -> Iterator[tuple[int, Item]]:
        shape = self.array.shape[1:]
        try:
            if self._stream is None or places.start < self._place:
                self._stream, self._place = zipfile.ZipFile(self.path).open(self.array.member), 0
                read_head(self._stream)
            while self._place < places.stop:
                content = read_exactly(self._stream, int(np.prod(shape)))
                self._place += 1
                if self._place > places.start:
                    yield self._place - 1, arranged(np.frombuffer(content, np.uint8).reshape(1, *shape))[0]
        except DAMAGED as error:
            raise RequestError(f"{self.path} is damaged ({why(error)}); take another copy of it") from None

    def some(self, count: int, limit: int) -> Iterator[Item]:
        """The first: they are of one size."""
        yield from (item for _, item in self.read(range(1)))


def find_array(path: str, split: str, require_labels: bool) -> PictureSet:
    """The array of pictures in the .npy or .npz file at `path`. RequestError where there is none that could be pictures."""
    labels, class_names, unusable = None, (), False
    reason = "a .npy file has pictures alone; an .npz may have labels beside them"
    try:
        if path.lower().endswith(".npy"):
            pixels = np.lib.format.open_memmap(path, mode="r")  # numpy.load would open zips and pickles, too
            check_images(path, Array("the array", pixels.shape, False, pixels.dtype))
            pictures = ArrayPictures(arranged(pixels))
        else:
            arrays = heads_of(path)
            pictures = NpzPictures(path, images_of(path, arrays, split))
            labels, reason = labels_of(path, arrays, split, len(pictures))
            unusable = labels is None and named(arrays, LABELS, split) is not None
            class_names = () if labels is None else names_of(path, arrays) or numbered(labels)
    except DAMAGED as error:
        raise RequestError(f"{path} is damaged, or no array of numbers ({why(error)}); take another copy of it") from None
    if require_labels and labels is None:
        raise RequestError(f"the pictures of {path} have no classes: {reason}")
    return PictureSet(
        "folder",
        cache_name_of(path),
        path,
        split,
        ["."],
        len(pictures),
        partial(Items, pictures, labels),
        class_names,
        labels is not None,
        notes=(f"without classes: {reason}",) if unusable else (),
    )


def has_test_array(path: str) -> bool:
    """Whether an .npz has pictures of a test split. It may be damaged: that is said when it is read."""
    try:
        return path.lower().endswith(".npz") and named(heads_of(path), IMAGES, "test") is not None
    except (RequestError, *DAMAGED):
        return False


def heads_of(path: str) -> dict[str, Array]:
    """The arrays of an .npz file by their names, of which only the heads are read. What is no array is left out."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            check_ratio(path, member.filename, member.file_size, member.compress_size)
            with archive.open(member) as stream:
                head = read_head(stream)
                if head is None:
                    continue
                shape, fortran_order, dtype = head
                size = stream.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize
            if not dtype.hasobject and size == member.file_size:
                arrays[member.filename.removesuffix(".npy")] = Array(member.filename, shape, fortran_order, dtype)
    return arrays


def read_head(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype] | None:
    """Shape, order and type of the .npy file that begins here; None where none does."""
    try:
        version = np.lib.format.read_magic(stream)
        return HEADS[version](stream)
    except (ValueError, KeyError, SyntaxError, TypeError):
        return None


def named(arrays: Mapping[str, Array], words: tuple[str, ...], split: str) -> Array | None:
    """The array of a split that is called by one of `words`: x_test, test_images; for `train` also without the split."""
    lowered = {name.lower(): array for name, array in arrays.items()}
    patterns = ["{split}_{word}", "{word}_{split}"] + (["{word}"] if split == "train" else [])
    names = (pattern.format(word=word, split=split) for pattern in patterns for word in words)
    return next((lowered[name] for name in names if name in lowered), None)


def images_of(path: str, arrays: dict[str, Array], split: str) -> Array:
    """The array of pictures: by its name, or else the only one that can be pictures."""
    array = named(arrays, IMAGES, split)
    if array is None and split == "train":
        likely = [array for array in arrays.values() if array.dtype == np.uint8 and len(array.shape) in (3, 4)]
        array = likely[0] if len(likely) == 1 else None
    if array is None:
        found = "; ".join(map(str, arrays.values())) or "none"
        raise RequestError(f"{path} has no array of pictures: call it images, uint8 (N, H, W, C) (there is: {found})")
    check_images(path, array)
    return array


def check_images(path: str, array: Array) -> None:
    """RequestError unless the array can be pictures."""
    shape = array.shape
    if array.dtype != np.uint8:
        raise RequestError(
            f"{path}: {array} is not uint8; pictures are 0 to 255, so multiply values from 0 to 1 by 255, and round"
        )
    if len(shape) not in (3, 4) or 0 in shape or (len(shape) == 4 and {shape[1], shape[3]}.isdisjoint(CHANNELS)):
        raise RequestError(f"{path}: {array} is not (N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels")
    if len(shape) == 4 and shape[1] in CHANNELS and shape[3] in CHANNELS and shape[1] != shape[3]:
        raise RequestError(f"{path}: {array} does not tell which axis is the channels'; make it (N, H, W, C)")
    if array.fortran_order:
        raise RequestError(f"{path}: {array} is in Fortran's order; save numpy.ascontiguousarray of it")


def arranged(pixels: np.ndarray) -> np.ndarray:
    """(N, H, W, C) or (N, C, H, W), or without channels -> (N, H, W) of grey pictures, else (N, H, W, C). A view."""
    if pixels.ndim == 3:
        return pixels
    if pixels.shape[-1] not in CHANNELS:
        pixels = np.moveaxis(pixels, 1, -1)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def labels_of(path: str, arrays: dict[str, Array], split: str, picture_num: int) -> tuple[np.ndarray | None, str]:
    """The labels, int64 (N,), and no words; or None, and why there are none."""
    array = named(arrays, LABELS, split)
    if array is None:
        return None, f"it has no array labels, whole numbers ({picture_num:,},)"
    is_one_each = array.shape in ((picture_num,), (picture_num, 1))
    if not is_one_each or array.dtype.kind not in "iu":
        return None, f"{array} is not a whole number for each of {picture_num:,} pictures"
    labels = read_array(path, array).reshape(-1)
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        return None, f"{array} holds {labels.min()} to {labels.max()}; classes are numbered from 0"
    return labels.astype(np.int64), ""


def names_of(path: str, arrays: dict[str, Array]) -> tuple[str, ...]:
    """The classes' names, where there is an array of texts for them."""
    array = named(arrays, CLASSES, "train")
    if array is None or array.dtype.kind != "U" or len(array.shape) != 1:
        return ()
    if array.shape[0] * array.dtype.itemsize > LARGEST_NAMES:
        return ()
    return tuple(one_line(name) for name in read_array(path, array).tolist())


def read_array(path: str, array: Array) -> np.ndarray:
    """An array of a member whose head was checked."""
    with zipfile.ZipFile(path) as archive, archive.open(array.member) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    """The next `size` bytes. EOFError where there are fewer."""
    content = stream.read(size)
    while len(content) < size:
        more = stream.read(size - len(content))
        if not more:
            raise EOFError("it ends too early")
        content += more
    return content
