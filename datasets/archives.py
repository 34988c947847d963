"""Zip and tar files of pictures, read without unpacking: nothing in them is written anywhere, whatever its name is.

What is in an archive is listed once, and the list kept beside the decoded pictures: a million members take a while. All of it
is checked before a picture is read: names, links, what is encrypted, and sizes that only a decompression bomb has.
"""

import bz2
import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from datasets.edm_labels import LABEL_FILE
from datasets.folders import kind_of_name
from utils.bars import progress_bar
from utils.errors import RequestError, one_line

ZIP_ENDINGS = (".zip",)
OPENERS: dict[str, Callable[[str], BinaryIO]] = {  # a tar file's ending -> what opens it
    ".tar": lambda path: open(path, "rb"),
    **dict.fromkeys((".tar.gz", ".tgz"), lambda path: gzip.open(path)),
    **dict.fromkeys((".tar.bz2", ".tbz2", ".tbz"), lambda path: bz2.open(path)),
    **dict.fromkeys((".tar.xz", ".txz"), lambda path: open_xz(path)),
}
LARGEST_RATIO = 200  # bytes that one byte of a file may unpack to, where that is more than ...
SMALL = 64 * 2**20  # ... so many
LARGEST_HEADER = 2**20  # bytes: a name, and what else is known of a file in a tar
LARGEST_XZ = 2**27  # bytes of memory; xz -9 takes 65 MiB
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
# What the standard library raises for bytes that are no archive, or not all of one.
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, struct.error, NotImplementedError)
DAMAGED += (ValueError, LookupError, OverflowError, RuntimeError)


class Member(NamedTuple):
    """A file in an archive. place: where it begins, in the unpacked tar or in the zip file, there with its header; size: its
    bytes; packed: how many there are in the file; method: zip's way to pack it; crc: zip's sum, 0 in a tar."""

    name: str
    place: int
    size: int
    packed: int
    method: int
    crc: int


class Contents(NamedTuple):
    """What an archive holds: its pictures, sorted by name; the kinds of all else; and dataset.json, if it is there."""

    pictures: list[Member]
    left_out: Counter[str]
    label_file: Member | None


def archive_ending(path: str) -> str | None:
    """The ending by which a file is an archive; None where it is none."""
    name = os.path.basename(path).lower()
    return next((ending for ending in (*ZIP_ENDINGS, *OPENERS) if name.endswith(ending)), None)


def list_archive(path: str) -> Contents:
    """The files in the archive at `path`. RequestError where it is damaged, or is what no one would make of pictures."""
    members = zip_members if archive_ending(path) in ZIP_ENDINGS else tar_members
    pictures, left_out, label_file = {}, Counter(), None
    try:
        for member in members(path):
            if os.path.basename(member.name) == LABEL_FILE and "/" not in member.name:
                label_file = member
                continue
            kind = kind_of_name(member.name)
            if kind is not None:
                left_out[kind] += 1
                continue
            if member.name in pictures:
                left_out["replaced by a later file of the same name"] += 1  # as it would be by unpacking
            pictures[member.name] = member
    except DAMAGED as error:
        raise RequestError(f"{path} is damaged, or no such archive ({why(error)}); take another copy of it") from None
    except OSError as error:
        raise RequestError(f"{path} cannot be read ({why(error)})") from None
    return Contents([pictures[name] for name in sorted(pictures)], left_out, label_file)


def zip_members(path: str) -> Iterator[Member]:
    """The files of a zip."""
    size = os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        found = archive.infolist()
    if sum(member.compress_size for member in found) > size:
        raise RequestError(f"{path}: its members overlap, as in a decompression bomb; pack the pictures anew")
    for member in found:
        name = checked_name(path, member.filename)
        mode = member.external_attr >> 16
        if stat.S_ISLNK(mode):
            raise RequestError(f"{path} holds a link, {one_line(name)}; pack the pictures themselves")
        if member.is_dir():
            continue
        if member.flag_bits & 1:
            raise RequestError(f"{path} is encrypted ({one_line(name)}); pack the pictures without a password")
        if member.compress_type not in (STORED, DEFLATED):
            raise RequestError(
                f"{path}: {one_line(name)} is packed by method {member.compress_type}; stored and deflated are read"
            )
        check_ratio(path, name, member.file_size, member.compress_size)
        yield Member(
            name, member.header_offset, member.file_size, member.compress_size, member.compress_type, member.CRC
        )


def tar_members(path: str) -> Iterator[Member]:
    """The files of a tar, packed or not, in their order."""
    packed = os.path.getsize(path)
    bar = progress_bar(packed, "B", title=f"listing {os.path.basename(path)}", visible=archive_ending(path) == ".tar")
    with bar, open_tar(path) as stream, tarfile.open(fileobj=_ShortReads(stream), mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # or it would keep all of them
            bar.update(archive.offset - bar.n)
            name = checked_name(path, member.name)
            if member.issym() or member.islnk():
                raise RequestError(f"{path} holds a link, {one_line(name)}; pack the pictures themselves (tar -h)")
            check_ratio(path, name, member.offset_data + member.size, packed)
            if member.isreg() and not member.issparse():
                yield Member(name, member.offset_data, member.size, member.size, STORED, 0)
            elif not member.isdir():
                raise RequestError(f"{path} holds what is no file, {one_line(name)}; pack the pictures alone")
        stream.seek(archive.offset)
        if len(stream.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE:  # of zeros, where a tar ends
            raise EOFError("it ends too early")


class _ShortReads:
    """A stream of which no more than a header is read at once, whatever size that header claims to have."""

    def __init__(self, stream: BinaryIO):
        self.seek, self.tell, self._read = stream.seek, stream.tell, stream.read

    def read(self, size: int) -> bytes:
        if size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._read(size)


def open_tar(path: str) -> BinaryIO:
    """The tar's own bytes, unpacked as they are read."""
    return OPENERS[archive_ending(path)](path)


def open_xz(path: str) -> BinaryIO:
    """A tar packed by xz. LZMAError where unpacking would take more memory than xz's own settings ever do."""
    with open(path, "rb") as file:
        lzma.LZMADecompressor(memlimit=LARGEST_XZ).decompress(file.read(2**16), 1)
    return lzma.open(path)


def checked_name(path: str, name: str) -> str:
    """A member's name without what says nothing. RequestError where it leads out of the archive."""
    parts = re.split(r"[/\\]", name)
    if ".." in parts or name[:1] in ("/", "\\") or re.match(r"[A-Za-z]:[/\\]", name):
        raise RequestError(f"{path} holds a file of the name {one_line(name)}, which leads out of it; pack the pictures anew")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def check_ratio(path: str, name: str, size: int, packed: int) -> None:
    """RequestError where so few bytes would unpack to so many."""
    if size > SMALL and size > LARGEST_RATIO * packed:
        raise RequestError(
            f"{path} looks like a decompression bomb: {one_line(name)} would unpack from {packed:,} bytes to {size:,}"
        )


def why(error: Exception) -> str:
    """What an error says, on one line."""
    return one_line(" ".join(str(error).split()) or type(error).__name__)
