"""Every picture decoded once, into one file that is mapped into memory from then on.

The file is an .npy of the pictures, uint8 (N, C, H, W), and after it another of their labels, int64 (N,) or (0,): none.
Pictures that are to be cropped at random are kept in slots instead, uint8 (N, K): see datasets/crops.py.
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from datasets.decode import UnreadablePictureError, decode_array, decode_file
from datasets.picture_set import PictureSet
from datasets.shaping import Shaping
from utils.bars import progress_bar
from utils.errors import RequestError, counted, reason_of
from utils.files import exclusive, folder_made

DECODE_VERSION = 2  # raise it when the same file would give other pixels: it makes every cache anew
BLOCK_BYTES = 64 * 2**20  # of decoded pictures held at once
SHOWN_PATHS = 10


class Unreadable(NamedTuple):
    """A picture that could not be decoded, its place among the set's items, and why."""

    index: int
    path: str
    reason: str


class Decoded(NamedTuple):
    """A set from its cache: uint8 (N, C, H, W) or slots (N, K), a read-only memory map, and int64 (N,) or None."""

    images: np.ndarray
    labels: np.ndarray | None


def load_cached(
    pictures: PictureSet, shaping: Shaping, skip_unreadable: bool, cache_dir: str, progress: bool
) -> Decoded:
    """The decoded set, from its cache file. Builds the file where need be.

    Raises RequestError: a picture cannot be read (or none can), or the cache cannot be written.
    """
    cache_dir = os.path.realpath(os.path.expanduser(cache_dir))
    identity = digest([pictures.source, pictures.root, pictures.split])[:8]
    prefix = f"{pictures.cache_name}_{shaping.name}_{identity}"
    path = os.path.join(cache_dir, f"{prefix}_{fingerprint(pictures, shaping, skip_unreadable)}.npy")
    decoded = open_cache(path, shaping.stored, pictures.has_labels)
    if decoded is not None:
        return decoded
    try:
        with folder_made(cache_dir), exclusive(os.path.join(cache_dir, f".{prefix}.lock")):
            # Asked again: another process may have built it while this one waited.
            if open_cache(path, shaping.stored, pictures.has_labels) is None:
                build(path, os.path.join(cache_dir, f".{prefix}.tmp"), pictures, shaping, skip_unreadable, progress)
            for name in os.listdir(cache_dir):
                if name.startswith(f"{prefix}_") and name.endswith(".npy") and name != os.path.basename(path):
                    with suppress(OSError):  # Windows does not remove what another process has mapped: the next may
                        os.unlink(os.path.join(cache_dir, name))  # of what the files were before
    except OSError as error:
        raise RequestError(
            f"cannot write the decoded pictures to {cache_dir} ({reason_of(error)}); set data.cache_dir"
        ) from error
    decoded = open_cache(path, shaping.stored, pictures.has_labels)
    assert decoded is not None, path
    return decoded


def fingerprint(pictures: PictureSet, shaping: Shaping, skip_unreadable: bool) -> str:
    """Changes with the names, sizes and times of the files, and with what is made of them."""
    parts = [str(DECODE_VERSION), str(shaping.shape), str(skip_unreadable), str(pictures.has_labels)]
    if not shaping.is_plain:  # squares were cached before there was a choice
        parts.append(shaping.name)
    for name in pictures.files:
        try:
            status = os.stat(pictures.path(name))
            parts.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}")
        except OSError:
            parts.append(name)  # a link that leads nowhere, until it does
    return digest(parts)[:16]


def digest(parts: list[str]) -> str:
    """A hash of the list; file names that are no Unicode survive as they came from the system."""
    return hashlib.sha256(os.fsencode("\0\0".join(parts))).hexdigest()


def open_cache(path: str, shape: tuple[int, ...], has_labels: bool) -> Decoded | None:
    """What the cache file holds; None where it is missing or is not whole."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        if images.dtype != np.uint8 or images.shape[1:] != shape or len(images) == 0:
            return None
        with open(path, "rb") as file:
            file.seek(images.offset + images.nbytes)
            labels = np.lib.format.read_array(file, allow_pickle=False)
    except (EOFError, OSError, ValueError):
        return None
    if labels.dtype != np.int64 or labels.shape != ((len(images),) if has_labels else (0,)):
        return None
    return Decoded(images, labels if has_labels else None)


def build(
    path: str, temporary: str, pictures: PictureSet, shaping: Shaping, skip_unreadable: bool, progress: bool
) -> None:
    """Decodes the set into `temporary` and moves it over `path`; a killed build leaves `temporary` to the next one.

    Written as a stream rather than through a memory map, where a full disk would be a SIGBUS instead of an OSError.
    """
    items, labels = pictures.read()
    if labels is not None:
        check_labels(pictures, len(items), labels)
    try:
        with open(temporary, "wb") as file:
            write_header(file, (len(items), *shaping.stored))
            data_start = file.tell()
            skipped = write_pictures(file, items, shaping, skip_unreadable, f"decoding {pictures.cache_name}", progress)
            if len(skipped) == len(items):
                first = f"{skipped[0].path} ({skipped[0].reason})"
                raise RequestError(
                    f"{pictures.root}: no picture can be read, of {counted(len(items), 'file')}; first: {first}"
                )
            kept = np.zeros(0, np.int64)
            if labels is not None:
                kept = np.delete(labels, [picture.index for picture in skipped])
            np.lib.format.write_array(file, kept, allow_pickle=False)
            file.seek(0)
            write_header(file, (len(items) - len(skipped), *shaping.stored))
            assert file.tell() == data_start  # numpy leaves room for any count
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    if skipped:
        report_skipped(skipped)


def check_labels(pictures: PictureSet, picture_num: int, labels: np.ndarray) -> None:
    """Raises RequestError unless there is a class for each picture, and a name for each class."""
    if len(labels) != picture_num:
        raise RequestError(
            f"the files of {pictures.source} in {pictures.root} are damaged: {counted(picture_num, 'picture')} and "
            f"{counted(len(labels), 'label')}"
        )
    wrong = labels[(labels < 0) | (labels >= len(pictures.class_names))]
    if len(wrong):
        raise RequestError(
            f"the files of {pictures.source} in {pictures.root} are damaged: a label of {wrong[0]}, where there are "
            f"{len(pictures.class_names)} classes"
        )


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of a .npy file that holds uint8 of this shape."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def write_pictures(
    file: BinaryIO,
    items: Sequence[str] | np.ndarray,
    shaping: Shaping,
    skip_unreadable: bool,
    title: str,
    progress: bool,
) -> list[Unreadable]:
    """Decodes in threads (Pillow works outside the interpreter's lock), writes in order; gives what was unreadable."""
    skipped = []
    block = max(1, min(1024, BLOCK_BYTES // int(np.prod(shaping.stored))))
    attempt = partial(decode, shaping=shaping)
    bar = progress_bar(len(items), "picture", title=title, visible=progress)
    # A warning would name no picture; decode_file makes an error of what matters.
    with bar, ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        for start in range(0, len(items), block):  # in blocks: `map` would run ahead of the disk without bound
            part = items[start : start + block]
            for result in pool.map(attempt, range(start, start + len(part)), part):
                if isinstance(result, np.ndarray):
                    file.write(result)
                elif skip_unreadable:
                    skipped.append(result)
                else:
                    raise RequestError(
                        f"cannot read the picture {result.path} ({result.reason}); mend or remove it, or set "
                        "data.skip_unreadable to true"
                    )
                bar.update()
    return skipped


def decode(index: int, item: str | np.ndarray, shaping: Shaping) -> np.ndarray | Unreadable:
    """Item `index` of a set, a path or an array, as uint8 `shaping.stored`; or what is wrong with it."""
    if isinstance(item, np.ndarray):
        return decode_array(item, shaping)
    try:
        return decode_file(item, shaping)
    except UnreadablePictureError as error:
        return Unreadable(index, item, str(error))


def report_skipped(skipped: list[Unreadable]) -> None:
    """Lists the pictures that are left out, on stderr: the first few, and how many besides."""
    print(f"skipped {counted(len(skipped), 'unreadable picture')}:", file=sys.stderr)
    for picture in skipped[:SHOWN_PATHS]:
        print(f"  {picture.path} ({picture.reason})", file=sys.stderr)
    if len(skipped) > SHOWN_PATHS:
        print(f"  and {len(skipped) - SHOWN_PATHS} more", file=sys.stderr)
