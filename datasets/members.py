"""The pictures in a zip or tar file: what `datasets.archives` found in it, kept in arrays, and how they are read."""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from datasets.archives import DAMAGED, DEFLATED, ZIP_ENDINGS, Member, archive_ending, open_tar, why
from datasets.decode import UnreadablePictureError, check_file_size
from datasets.picture_set import Item, Pictures

LOCAL_HEADER = struct.Struct("<4s22xHH")  # before a zip's member: signature, length of its name, and of what else there is
FIELDS = ("place", "size", "packed", "method", "crc")


class Names(NamedTuple):
    """Texts in two arrays: uint8, one after another, and int64 (N,), where each ends. A million of them are 30 MB."""

    letters: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, texts: list[str]) -> "Names":
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        return cls(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([len(text) for text in encoded], dtype=np.int64))

    def __getitem__(self, number: int) -> str:
        start = self.ends[number - 1] if number else 0
        return self.letters[start : self.ends[number]].tobytes().decode("utf-8", "surrogateescape")

    def __len__(self) -> int:
        return len(self.ends)


class Index(NamedTuple):
    """The pictures of an archive, sorted by name: int64 (N,) of each of FIELDS, which are those of a Member."""

    names: Names
    fields: dict[str, np.ndarray]

    @classmethod
    def of(cls, pictures: list[Member]) -> "Index":
        fields = {field: np.array([getattr(member, field) for member in pictures], np.int64) for field in FIELDS}
        return cls(Names.of([member.name for member in pictures]), fields)


class ArchivePictures(Pictures):
    """Pictures in a zip or tar file, read in the order in which they lie there."""

    def __init__(self, path: str, index: Index):
        self.path, self.index = path, index
        self.order = np.argsort(index.fields["place"], kind="stable")  # place -> number
        self.is_zip = archive_ending(path) in ZIP_ENDINGS
        self._stream: BinaryIO | None = None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_stream": None}

    def __len__(self) -> int:
        return len(self.order)

    def name(self, number: int) -> str:
        return f"{self.path}: {self.index.names[number]}"

    def read(self, places: range, limit: int | None = None) -> Iterator[tuple[int, Item]]:
        for number in self.order[places.start : places.stop].tolist():
            try:
                yield number, self.content(number, limit)
            except UnreadablePictureError as error:
                yield number, error
            except (*DAMAGED, OSError) as error:
                yield number, UnreadablePictureError(f"the archive is damaged here: {why(error)}")

    def some(self, count: int, limit: int) -> Iterator[Item]:
        """As everywhere; but the first of a packed tar, which would have to be unpacked whole."""
        if self.is_zip or archive_ending(self.path) == ".tar":
            yield from super().some(count, limit)
        else:
            yield from (item for _, item in self.read(range(min(count, len(self))), limit))

    def content(self, number: int, limit: int | None = None) -> bytes:
        """The bytes of a picture's file, the first `limit` of them. Raises UnreadablePictureError and what else there is."""
        place, size, packed, method, crc = (int(self.index.fields[field][number]) for field in FIELDS)
        check_file_size(size)
        if self._stream is None:
            self._stream = open(self.path, "rb") if self.is_zip else open_tar(self.path)
        wanted = size if limit is None else min(size, limit)
        self._stream.seek(place)
        if not self.is_zip:
            return whole(self._stream.read(wanted), wanted)
        signature, name_length, more_length = LOCAL_HEADER.unpack(self._stream.read(LOCAL_HEADER.size))
        if signature != b"PK\3\4":
            raise UnreadablePictureError("the archive is damaged here: no file begins where one should")
        self._stream.seek(name_length + more_length, os.SEEK_CUR)
        content = self._stream.read(packed if limit is None else min(packed, limit))
        if method == DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, max(1, wanted))  # 0 would be without end
        if limit is None and zlib.crc32(whole(content, size)) != crc:
            raise UnreadablePictureError("the archive is damaged here: its checksum is another")
        return content


def whole(content: bytes, size: int) -> bytes:
    """`content`, which must be so long."""
    if len(content) != size:
        raise UnreadablePictureError(f"the archive is damaged here: {len(content):,} bytes of {size:,}")
    return content
