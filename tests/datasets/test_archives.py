"""Zip and tar files that a stranger made: refused in one line, before anything is unpacked or much memory taken."""

import gzip
import lzma
import resource
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest

import datasets.archives
from tests.datasets.packs import files, pixels, refused, write_tar, write_zip
from tests.pictures import message
from utils.errors import RequestError

PNG = files()["cat/a.png"]


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/a.png", "C:\\a.png", "..\\a.png", "x\\..\\a.png", "C:/a.png"])
@pytest.mark.parametrize("pack", [write_zip, write_tar])
def test_names_that_lead_out(dataset, tmp_path, pack, name):
    path = pack(tmp_path / ("a.zip" if pack is write_zip else "a.tar"), {**files(), name: PNG})
    refused(dataset, path, "leads out of it")
    assert not (tmp_path.parent / "a.png").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar(dataset, tmp_path, kind):
    path = write_tar(tmp_path / "a.tar", files())
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("link.png")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    refused(dataset, path, "link.png", "a link" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "no file")


def test_a_link_in_a_zip(dataset, tmp_path):
    path = write_zip(tmp_path / "a.zip", files())
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo("link.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    refused(dataset, path, "holds a link, link.png")


def test_bombs(dataset, tmp_path, monkeypatch):
    """Zeros in a thousandth of the bytes, as a picture and as a header; members that are the same bytes; an xz dictionary of 4 GiB."""
    monkeypatch.setattr(datasets.archives, "SMALL", 2**20)
    zeros = bytes(2**23)
    refused(dataset, write_zip(tmp_path / "a.zip", {"a.png": zeros}), "decompression bomb", "a.png")
    refused(dataset, write_tar(tmp_path / "a.tar.gz", {"a.png": zeros}, "w:gz"), "decompression bomb", "a.png")

    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.XHDTYPE, 2**33
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(header.tobuf() + zeros * 8))
    tracemalloc.start()
    refused(dataset, tmp_path / "b.tar.gz", "damaged")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()

    write_zip(tmp_path / "c.zip", {f"{number}.png": bytes(np.random.default_rng(number).bytes(3000)) for number in range(3)})
    content = bytearray((tmp_path / "c.zip").read_bytes())
    places = [place for place in range(len(content)) if content[place : place + 4] == b"PK\1\2"]
    for place in places:
        content[place + 20 : place + 24] = struct.pack("<I", 9000)  # each says that it is as long as all
        content[place + 42 : place + 46] = struct.pack("<I", 0)
    (tmp_path / "c.zip").write_bytes(content)
    refused(dataset, tmp_path / "c.zip", "overlap")

    packer = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    packed = bytearray(packer.compress(bytes(10)) + packer.flush())
    place = packed.index(b"\x21\x01") + 2  # the property of LZMA2: its dictionary's size
    packed[place] = 40  # 4 GiB - 1
    end = 12 + (packed[12] + 1) * 4 - 4
    packed[end : end + 4] = struct.pack("<I", zlib.crc32(packed[12:end]))
    (tmp_path / "d.tar.xz").write_bytes(packed)
    refused(dataset, tmp_path / "d.tar.xz", "damaged", "emory")


def test_a_picture_that_is_longer_than_its_archive_says(dataset, tmp_path):
    """A bomb that hides: the header says 0 bytes. No more than it says is unpacked."""
    path = write_zip(tmp_path / "a.zip", {"a.png": bytes(2**27), **files()})
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\1\2")
    content[place + 24 : place + 28] = struct.pack("<I", 0)
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RequestError, match="a.png .*damaged here"):
        dataset(data_path=str(path)).load()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KB
    assert np.array_equal(dataset(data_path=str(path), skip_unreadable=True).load().images, pixels().transpose(0, 3, 1, 2))


def test_what_is_encrypted_or_packed_otherwise(dataset, tmp_path):
    path = write_zip(tmp_path / "a.zip", files())
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    refused(dataset, path, "is encrypted", "without a password")
    refused(dataset, write_zip(tmp_path / "b.zip", files(), zipfile.ZIP_LZMA), "packed by method 14")


def test_damaged_archives(dataset, tmp_path):
    for path in (
        write_zip(tmp_path / "a.zip", files()),
        write_tar(tmp_path / "a.tar", files()),
        write_tar(tmp_path / "a.tgz", files(), "w:gz"),
        write_tar(tmp_path / "a.tar.xz", files(), "w:xz"),
    ):
        whole = path.read_bytes()
        for content in (b"", b"?" * 2000, whole[: len(whole) // 2], whole[:700]):
            path.write_bytes(content)
            with pytest.raises(RequestError) as error:
                dataset(data_path=str(path)).load()
            assert path.name in message(error)
    content = bytearray(write_zip(tmp_path / "b.zip", files(), zipfile.ZIP_STORED).read_bytes())
    content[content.index(PNG) + 60] ^= 1
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(RequestError, match="b.zip: cat/a.png .*checksum"):
        dataset(data_path=str(tmp_path / "b.zip")).load()


def test_an_archive_without_pictures(dataset, tmp_path):
    refused(dataset, write_zip(tmp_path / "a.zip", {"a.txt": b"?"}), "holds only other files (1 .txt)", ".png")
    refused(dataset, write_tar(tmp_path / "a.tar", {}), "empty")
    with pytest.raises(RequestError, match="class_from_folder to true"):
        dataset(data_path=str(write_zip(tmp_path / "b.zip", files()))).load(require_labels=True)
