"""Every picture decoded once, into one file that is mapped into memory from then on.

The file is an .npy of the pictures, uint8 (N, C, H, W); after it another of their labels, int64 (N,) or (0,): none; and after
that one of bytes, a JSON list of the pictures that could not be read and are not in it: [number, name, reason] each. Pictures
that are to be cropped at random are kept in slots instead, uint8 (N, K): see datasets/crops.py.
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from datasets.build import build
from datasets.decoding import Unreadable
from datasets.picture_set import PictureSet
from datasets.shaping import Shaping
from utils.errors import RequestError, counted, reason_of
from utils.files import exclusive, folder_made

DECODE_VERSION = 2  # raise it when the same file would give other pixels: it makes every cache anew
SHOWN_PATHS = 10


class Decoded(NamedTuple):
    """A set from its cache: uint8 (N, C, H, W) or slots (N, K), a read-only memory map, int64 (N,) or None, and what is not
    among them."""

    images: np.ndarray
    labels: np.ndarray | None
    skipped: list[Unreadable]


def load_cached(
    pictures: PictureSet, shaping: Shaping, skip_unreadable: bool, cache_dir: str, progress: bool
) -> Decoded:
    """The decoded set, from its cache file. Builds the file where need be.

    Raises RequestError: a picture cannot be read (or none can), or the cache cannot be written.
    """
    cache_dir = os.path.realpath(os.path.expanduser(cache_dir))
    prefix = f"{pictures.cache_name}_{shaping.name}_{identity(pictures)}"
    made_from = fingerprint(pictures, shaping)
    path = os.path.join(cache_dir, f"{prefix}_{made_from}.npy")
    decoded = open_cache(path, shaping.stored, pictures.has_labels, skip_unreadable)
    if decoded is not None:
        return decoded
    try:
        with folder_made(cache_dir), exclusive(os.path.join(cache_dir, f".{prefix}.lock")):
            # Asked again: another process may have built it while this one waited.
            if open_cache(path, shaping.stored, pictures.has_labels, skip_unreadable) is None:
                temporary = os.path.join(cache_dir, f".{prefix}.tmp")
                skipped = build(path, temporary, made_from, pictures, shaping, skip_unreadable, progress)
                report_skipped(skipped)
            for name in os.listdir(cache_dir):
                if name.startswith(f"{prefix}_") and name.endswith(".npy") and name != os.path.basename(path):
                    with suppress(OSError):  # Windows does not remove what another process has mapped: the next may
                        os.unlink(os.path.join(cache_dir, name))  # of what the files were before
    except OSError as error:
        raise RequestError(
            f"cannot write the decoded pictures to {cache_dir} ({reason_of(error)}); set data.cache_dir"
        ) from error
    decoded = open_cache(path, shaping.stored, pictures.has_labels, skip_unreadable)
    assert decoded is not None, path
    return decoded


def identity(pictures: PictureSet) -> str:
    """A few letters that tell sets of the same name apart."""
    return digest([pictures.source, pictures.root, pictures.split])[:8]


def fingerprint(pictures: PictureSet, shaping: Shaping) -> str:
    """Changes with the names, sizes and times of the files, and with what is made of them."""
    # "False" stood for skip_unreadable, which the file itself now tells; without it every cache would be made anew.
    parts = [str(DECODE_VERSION), str(shaping.shape), "False", str(pictures.has_labels) + pictures.labels_by]
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


def open_cache(path: str, shape: tuple[int, ...], has_labels: bool, skip_unreadable: bool) -> Decoded | None:
    """What the cache file holds; None where it is missing, is not whole, or lacks pictures and must not."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        if images.dtype != np.uint8 or images.shape[1:] != shape or len(images) == 0:
            return None
        with open(path, "rb") as file:
            file.seek(images.offset + images.nbytes)
            labels = np.lib.format.read_array(file, allow_pickle=False)
            skipped = read_skipped(file)
    except (EOFError, OSError, ValueError, TypeError):
        return None
    if labels.dtype != np.int64 or labels.shape != ((len(images),) if has_labels else (0,)):
        return None
    if skipped and not skip_unreadable:
        return None
    return Decoded(images, labels if has_labels else None, skipped)


def read_skipped(file) -> list[Unreadable]:
    """The list at the end of a cache file; none in the files of version 0.3, which nothing was left out of."""
    if not file.read(1):
        return []
    file.seek(-1, os.SEEK_CUR)
    listed = np.lib.format.read_array(file, allow_pickle=False)
    return [Unreadable(*fields) for fields in json.loads(listed.tobytes())]


def report_skipped(skipped: Sequence[Unreadable]) -> None:
    """Lists the pictures that are left out, on stderr: the first few, and how many besides."""
    if not skipped:
        return
    print(f"skipped {counted(len(skipped), 'unreadable picture')}:", file=sys.stderr)
    for picture in skipped[:SHOWN_PATHS]:
        print(f"  {picture.name} ({picture.reason})", file=sys.stderr)
    if len(skipped) > SHOWN_PATHS:
        print(f"  and {len(skipped) - SHOWN_PATHS} more", file=sys.stderr)
