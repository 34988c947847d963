"""Every picture decoded once, into one .npy file that is mapped into memory from then on."""

import hashlib
import os
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from datasets.decode import UnreadablePictureError, decode_array, decode_file
from datasets.locks import exclusive
from datasets.picture_set import PictureSet
from utils.errors import RequestError, reason_of
from utils.files import folder_made

DECODE_VERSION = 1  # raise it when the same file would give other pixels: it makes every cache anew
BLOCK_BYTES = 64 * 2**20  # of decoded pictures held at once
SHOWN_PATHS = 10


class Unreadable(NamedTuple):
    """A picture that could not be decoded, and why."""

    path: str
    reason: str


def cached_pictures(
    pictures: PictureSet, image_size: int, image_channel: int, skip_unreadable: bool, cache_dir: str, progress: bool
) -> np.ndarray:
    """The decoded set as a read-only map of its cache file: uint8 (N, C, S, S). Builds the file where need be.

    Raises RequestError: a picture cannot be read (or none can), or the cache cannot be written.
    """
    cache_dir = os.path.realpath(os.path.expanduser(cache_dir))
    identity = digest([pictures.source, pictures.root, pictures.split])[:8]
    prefix = f"{pictures.label}_{image_channel}x{image_size}_{identity}"
    shape = (image_channel, image_size, image_size)
    path = os.path.join(cache_dir, f"{prefix}_{fingerprint(pictures, shape, skip_unreadable)}.npy")
    images = open_cache(path, shape)
    if images is not None:
        return images
    try:
        with folder_made(cache_dir), exclusive(os.path.join(cache_dir, f".{prefix}.lock")):
            if open_cache(path, shape) is None:  # another process may have built it while this one waited
                build(path, os.path.join(cache_dir, f".{prefix}.tmp"), pictures, shape, skip_unreadable, progress)
            for name in os.listdir(cache_dir):
                if name.startswith(f"{prefix}_") and name.endswith(".npy") and name != os.path.basename(path):
                    os.unlink(os.path.join(cache_dir, name))  # of what the files were before
    except OSError as error:
        raise RequestError(
            f"cannot write the decoded pictures to {cache_dir} ({reason_of(error)}); set data.cache_dir"
        ) from error
    images = open_cache(path, shape)
    assert images is not None, path
    return images


def fingerprint(pictures: PictureSet, shape: tuple[int, int, int], skip_unreadable: bool) -> str:
    """Changes with the names, sizes and times of the files, and with what is made of them."""
    parts = [str(DECODE_VERSION), str(shape), str(skip_unreadable)]
    for name in pictures.files:
        try:
            status = os.stat(os.path.join(pictures.root, name))
            parts.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}")
        except OSError:
            parts.append(name)  # a link that leads nowhere, until it does
    return digest(parts)[:16]


def digest(parts: list[str]) -> str:
    """A hash of the list; file names that are no Unicode survive as they came from the system."""
    return hashlib.sha256(os.fsencode("\0\0".join(parts))).hexdigest()


def open_cache(path: str, shape: tuple[int, int, int]) -> np.ndarray | None:
    """The cache file as a read-only memory map; None where it is missing or is not whole."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, OSError, ValueError):
        return None
    return images if images.dtype == np.uint8 and images.shape[1:] == shape and len(images) else None


def build(
    path: str, temporary: str, pictures: PictureSet, shape: tuple[int, int, int], skip_unreadable: bool, progress: bool
) -> None:
    """Decodes the set into `temporary` and moves it over `path`; a killed build leaves `temporary` to the next one.

    Written as a stream rather than through a memory map, where a full disk would be a SIGBUS instead of an OSError.
    """
    items = [os.path.join(pictures.root, name) for name in pictures.files] if pictures.read is None else pictures.read()
    try:
        with open(temporary, "wb") as file:
            write_header(file, (len(items), *shape))
            data_start = file.tell()
            skipped = write_pictures(file, items, shape, skip_unreadable, f"decoding {pictures.label}", progress)
            if len(skipped) == len(items):
                first = f"{skipped[0].path} ({skipped[0].reason})"
                raise RequestError(f"none of the {len(items)} pictures of {pictures.root} can be read; first: {first}")
            file.seek(0)
            write_header(file, (len(items) - len(skipped), *shape))
            assert file.tell() == data_start  # numpy leaves room for any count
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    if skipped:
        report_skipped(skipped)


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of a .npy file that holds uint8 of this shape."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def write_pictures(
    file: BinaryIO,
    items: Sequence[str] | np.ndarray,
    shape: tuple[int, int, int],
    skip_unreadable: bool,
    title: str,
    progress: bool,
) -> list[Unreadable]:
    """Decodes in threads (Pillow works outside the interpreter's lock), writes in order; gives what was unreadable."""
    skipped = []
    block = max(1, min(1024, BLOCK_BYTES // int(np.prod(shape))))
    attempt = partial(decode, image_size=shape[1], image_channel=shape[0])
    bar = tqdm(total=len(items), desc=title, unit="picture", disable=None if progress else True)
    # A warning would name no picture; decode_file makes an error of what matters.
    with bar, ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)
        for start in range(0, len(items), block):  # in blocks: `map` would run ahead of the disk without bound
            for result in pool.map(attempt, items[start : start + block]):
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


def decode(item: str | np.ndarray, image_size: int, image_channel: int) -> np.ndarray | Unreadable:
    """One item of a set, a path or an array, as uint8 (C, S, S); or what is wrong with it."""
    if isinstance(item, np.ndarray):
        return decode_array(item, image_size, image_channel)
    try:
        return decode_file(item, image_size, image_channel)
    except UnreadablePictureError as error:
        return Unreadable(item, str(error))


def report_skipped(skipped: list[Unreadable]) -> None:
    """Lists the pictures that are left out, on stderr: the first few, and how many besides."""
    print(f"skipped {len(skipped)} unreadable pictures:", file=sys.stderr)
    for path, reason in skipped[:SHOWN_PATHS]:
        print(f"  {path} ({reason})", file=sys.stderr)
    if len(skipped) > SHOWN_PATHS:
        print(f"  and {len(skipped) - SHOWN_PATHS} more", file=sys.stderr)
