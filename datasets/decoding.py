"""The pictures of a range of places, decoded and written to their rows of a file."""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from datasets.decode import Head, UnreadablePictureError, decode_array, decode_file, head_of_file
from datasets.picture_set import Item, Pictures
from datasets.shaping import Shaping
from utils.errors import RequestError

AHEAD = 64  # items that are read before they are decoded: each may be a whole file's bytes


class Unreadable(NamedTuple):
    """A picture that could not be decoded: its number, what it is called, and why."""

    number: int
    name: str
    reason: str


class Job(NamedTuple):
    """Where pictures come from and go to: picture i, uint8 `shaping.stored`, to row i of `file`, where rows begin at byte
    `start`."""

    pictures: Pictures
    shaping: Shaping
    file: str
    start: int
    skip_unreadable: bool


class Chunk(NamedTuple):
    """A range of places whose pictures are on the disk, but for those that could not be read."""

    places: range
    skipped: list[Unreadable]


Tell = Callable[[int], object]  # is called with how many more pictures are done


def decode_in_threads(job: Job, chunks: Sequence[range], tell: Tell) -> Iterator[Chunk]:
    """Decodes chunk after chunk in this process: Pillow's decoders work outside the interpreter's lock."""
    with ThreadPoolExecutor(min(16, core_num())) as pool, open(job.file, "r+b") as file, warnings.catch_warnings():
        quiet_pillow()
        for places in chunks:
            yield decode_chunk(job, places, file, tell, pool)


def decode_chunk(job: Job, places: range, file: BinaryIO, tell: Tell, pool: Executor | None = None) -> Chunk:
    """Decodes the pictures at `places` into `file`, in the threads of `pool` if there is one.

    RequestError for an unreadable picture unless such are skipped; OSError where the file cannot be written.
    """
    row_bytes, skipped, count, next_row = int(np.prod(job.shaping.stored)), [], 0, -1

    def attempt(numbered: tuple[int, Item]) -> tuple[int, np.ndarray | str]:
        return numbered[0], decode_item(numbered[1], job.shaping)

    items = job.pictures.read(places)
    for number, result in map(attempt, items) if pool is None else map_ahead(pool, attempt, items):
        if isinstance(result, np.ndarray):
            if number != next_row:
                file.seek(job.start + number * row_bytes)
            file.write(result)
            next_row = number + 1
        elif job.skip_unreadable:
            skipped.append(Unreadable(number, job.pictures.name(number), result))
        else:
            raise RequestError(
                f"cannot read the picture {job.pictures.name(number)} ({result}); mend or remove it, or set "
                "data.skip_unreadable to true"
            )
        count += 1
        tell(1)
    if count != len(places):
        raise RequestError(f"the data hold fewer pictures than they say: {count:,} of {len(places):,} from {places.start:,} on")
    file.flush()
    os.fsync(file.fileno())  # before anyone notes that it is done: a power cut must not leave the note alone
    return Chunk(places, skipped)


def decode_item(item: Item, shaping: Shaping) -> np.ndarray | str:
    """An item as uint8 `shaping.stored`; or what is wrong with it."""
    if isinstance(item, UnreadablePictureError):
        return str(item)
    if isinstance(item, np.ndarray):
        return decode_array(item, shaping)
    try:
        return decode_file(item, shaping)
    except UnreadablePictureError as error:
        return str(error)


def head_of(item: Item) -> Head | None:
    """Size and mode of an item; None where they cannot be told."""
    if isinstance(item, np.ndarray):
        return Head(item.shape[1], item.shape[0], {2: "L", 3: "RGB"}[item.ndim] if item.shape[2:] != (4,) else "RGBA")
    return None if isinstance(item, UnreadablePictureError) else head_of_file(item)


def quiet_pillow() -> None:
    """Drops warnings that would name no picture; `decode_file` makes an error of what matters."""
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    warnings.simplefilter("ignore", UserWarning)


def map_ahead(pool: Executor, call: Callable, items: Iterable) -> Iterator:
    """`map`, in order, of which few items are held at a time."""
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(call, item))
        if len(waiting) == AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def core_num() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
