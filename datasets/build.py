"""The file of a set's decoded pictures, made by threads or several processes; a build that was killed is gone on with.

Beside the file that is being written lies its journal: a line that says what is being made, and a line for each range of
pictures that is on the disk.
"""

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import BinaryIO

import numpy as np

from datasets.decoding import Chunk, Job, Unreadable, core_num, decode_in_threads
from datasets.picture_set import Pictures, PictureSet
from datasets.processes import decode_in_processes
from datasets.shaping import Shaping
from utils.bars import interrupt_says, progress_bar
from utils.errors import RequestError, counted

BLOCK_BYTES = 16 * 2**20  # of decoded pictures in a range: at most so much for each process is decoded again after a kill
MANY = 8192  # pictures for which processes are worth their start: about a second


class PartialFile:
    """Pictures on their way to a cache file: `path`, whose header says how many rows it will have, and its journal."""

    def __init__(self, path: str, made_from: str, picture_num: int, shape: tuple[int, ...], skip_unreadable: bool):
        """Goes on with the file at `path` if it is of these pictures, which `made_from` tells; else begins one."""
        self.path, self.journal = path, f"{path}.journal"
        self.picture_num, self.shape = picture_num, shape
        self.what = json.dumps([made_from, picture_num, list(shape)])
        done = self._read_journal()
        self.done = {key: skipped for key, skipped in done.items() if skip_unreadable or not skipped}
        if self.done:
            with open(path, "rb") as file:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)
                self.start = file.tell()
        else:
            self.remove()
            with open(path, "wb") as file:
                write_header(file, (picture_num, *shape))
                self.start = file.tell()
                file.truncate(self.start + picture_num * int(np.prod(shape)))

    def _read_journal(self) -> dict[tuple[int, int], list[Unreadable]]:
        try:
            with open(self.journal, encoding="utf-8") as file:
                what, *lines = file.read().split("\n")[:-1]  # the last line may have been cut off
            size = os.path.getsize(self.path)
        except (OSError, ValueError):
            return {}
        if what != self.what or size < self.picture_num * int(np.prod(self.shape)):
            return {}
        chunks = [json.loads(line) for line in lines]
        return {(start, stop): [Unreadable(*fields) for fields in skipped] for start, stop, skipped in chunks}

    def note(self, chunk: Chunk) -> None:
        """Writes down that these pictures need not be decoded again."""
        key = chunk.places.start, chunk.places.stop
        with open(self.journal, "a", encoding="utf-8") as file:
            if not self.done:
                file.write(f"{self.what}\n")
            file.write(f"{json.dumps([*key, chunk.skipped])}\n")
        self.done[key] = chunk.skipped

    def skipped(self) -> list[Unreadable]:
        """What could not be read, by number."""
        return sorted(picture for skipped in self.done.values() for picture in skipped)

    def remove(self) -> None:
        """Deletes the file and its journal."""
        for path in (self.path, self.journal):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def finish(self, path: str, labels: np.ndarray | None) -> None:
        """Moves the file over `path`, complete: without the pictures that were skipped, with labels and a list of those."""
        skipped = self.skipped()
        numbers = [picture.number for picture in skipped]
        kept = np.zeros(0, np.int64) if labels is None else np.delete(labels, numbers)
        if skipped:
            self._close_gaps(numbers)
        with open(self.path, "r+b") as file:
            write_header(file, (self.picture_num - len(skipped), *self.shape))
            assert file.tell() == self.start  # numpy leaves room for any count
            file.seek(self.start + (self.picture_num - len(skipped)) * int(np.prod(self.shape)))
            file.truncate()  # what a kill at this place has left
            np.lib.format.write_array(file, kept, allow_pickle=False)
            listed = json.dumps(skipped).encode("ascii")
            np.lib.format.write_array(file, np.frombuffer(listed, np.uint8), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path, path)
        self.remove()

    def _close_gaps(self, numbers: Sequence[int]) -> None:
        """Copies the rows but for those of `numbers`, ascending. From here on the file cannot be gone on with."""
        row_bytes, closed = int(np.prod(self.shape)), f"{self.path}.closed"
        try:
            with open(self.path, "rb") as source, open(closed, "wb") as target:
                target.write(source.read(self.start))
                for start, stop in zip([0, *(number + 1 for number in numbers)], [*numbers, self.picture_num]):
                    source.seek(self.start + start * row_bytes)
                    copy_bytes(source, target, (stop - start) * row_bytes)
            with suppress(FileNotFoundError):
                os.unlink(self.journal)
            os.replace(closed, self.path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(closed)


def build(
    path: str,
    temporary: str,
    made_from: str,
    pictures: PictureSet,
    shaping: Shaping,
    skip_unreadable: bool,
    progress: bool,
) -> list[Unreadable]:
    """Decodes the set into `temporary` and moves it over `path`; gives what was unreadable.

    What a killed or interrupted build of the same pictures, which `made_from` tells, has left in `temporary` is not decoded
    again. Rows are written rather than mapped into memory, where a full disk would be a SIGBUS instead of an OSError.
    """
    items = pictures.read()
    if items.labels is not None:
        check_labels(pictures, len(items.pictures), items.labels)
    pictures.keep()
    check_room(os.path.dirname(path), temporary, len(items.pictures) * int(np.prod(shaping.stored)))
    part = PartialFile(temporary, made_from, len(items.pictures), shaping.stored, skip_unreadable)
    try:
        with interrupt_says("stopped while decoding; the same command goes on with what is left"):
            decode_rest(part, items.pictures, shaping, skip_unreadable, f"decoding {pictures.cache_name}", progress)
        skipped = part.skipped()
        if len(skipped) == part.picture_num:
            first = f"{skipped[0].name} ({skipped[0].reason})"
            part.done.clear()
            files = counted(part.picture_num, "file")
            raise RequestError(f"{pictures.root}: no picture can be read, of {files}; first: {first}")
        part.finish(path, items.labels)
    except (KeyboardInterrupt, RequestError):
        if not part.done:
            part.remove()
        raise
    except BaseException:
        part.remove()  # a full disk, for one, is to be emptied
        raise
    return skipped


def decode_rest(
    part: PartialFile, pictures: Pictures, shaping: Shaping, skip_unreadable: bool, title: str, progress: bool
) -> None:
    """Decodes what `part` does not hold yet. The bar says how long it will take."""
    chunks = pictures.chunks(max(1, BLOCK_BYTES // int(np.prod(part.shape))))
    rest = [places for places in chunks if (places.start, places.stop) not in part.done]
    if not rest:
        return
    job, left = Job(pictures, shaping, part.path, part.start, skip_unreadable), sum(map(len, rest))
    bar = progress_bar(len(pictures), "picture", initial=len(pictures) - left, title=title, visible=progress)
    with bar, closing(decoded(job, rest, left, bar.update)) as finished:
        for chunk in finished:
            if len(chunks) > 1:
                part.note(chunk)
            else:
                part.done[chunk.places.start, chunk.places.stop] = chunk.skipped


def decoded(job: Job, chunks: Sequence[range], picture_num: int, tell) -> Iterator[Chunk]:
    """The chunks as they are done: by processes where many pictures are to be decoded, else by threads."""
    process_num = min(core_num(), len(chunks))
    if job.pictures.is_encoded and picture_num > MANY and process_num > 1:
        return decode_in_processes(job, chunks, tell, process_num)
    return decode_in_threads(job, chunks, tell)


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


def check_room(folder: str, temporary: str, size: int) -> None:
    """RequestError where the disk has no room for `size` bytes, of which `temporary` may hold some already."""
    held = os.stat(temporary).st_blocks * 512 if hasattr(os.stat_result, "st_blocks") and os.path.exists(temporary) else 0
    free = shutil.disk_usage(folder).free
    if size - held > free:
        raise RequestError(
            f"the decoded pictures take {size / 2**30:.1f} GiB, and {folder} has {free / 2**30:.1f} GiB of room; make room, or "
            "set data.cache_dir"
        )


def write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """The head of a .npy file that holds uint8 of this shape."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def copy_bytes(source: BinaryIO, target: BinaryIO, size: int) -> None:
    """Copies `size` bytes from where `source` stands."""
    while size > 0:
        piece = source.read(min(size, 2**20))
        assert piece, size
        target.write(piece)
        size -= len(piece)
