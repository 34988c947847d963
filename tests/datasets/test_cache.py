"""The cache of decoded pictures: what is kept, when it is made anew, and two processes at once."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import datasets.build
import datasets.decoding
from tests.pictures import BLUE, RED, cache_files, message, solid
from utils.errors import RequestError
from utils.files import exclusive

# The cache


def test_the_cache_is_rebuilt_iff_files_size_or_channels_change(load, folder, tmp_path, monkeypatch):
    decoded = []
    decode_file = datasets.decoding.decode_file

    def counting(path, *shape):
        decoded.append(os.path.basename(path))
        return decode_file(path, *shape)

    monkeypatch.setattr(datasets.decoding, "decode_file", counting)

    def decodes(**options) -> int:
        decoded.clear()
        images = load(**options)
        assert isinstance(images, np.memmap) and not images.flags.writeable
        return len(decoded)

    for name in ("a.png", "b.png"):
        solid(RED).save(folder / name)
    assert [decodes(), decodes()] == [2, 0]
    assert [decodes(image_size=4), decodes(image_size=4), decodes()] == [2, 0, 0]
    assert [decodes(image_channel=1), decodes(image_channel=1), decodes()] == [2, 0, 0]
    first = set(cache_files(tmp_path))
    assert len(first) == 3  # one for each size and number of channels

    (folder / "notes.txt").write_text("no picture, no matter")
    assert decodes() == 0
    os.utime(folder / "a.png", ns=(1, 1))
    assert [decodes(), decodes()] == [2, 0]
    (folder / "b.png").rename(folder / "c.png")
    assert [decodes(), decodes()] == [2, 0]
    solid(BLUE).save(folder / "d.png")
    assert [decodes(), decodes()] == [3, 0]
    assert load()[2, :, 0, 0].tolist() == list(BLUE)
    (folder / "d.png").unlink()
    assert [decodes(), decodes()] == [2, 0]
    now = set(cache_files(tmp_path))
    assert len(now) == 3 and len(now & first) == 2  # what the old files gave is gone, the other shapes' are not


def test_folders_do_not_share_a_cache(load, tmp_path):
    for place, color in (("one/in", RED), ("two/in", BLUE)):
        (tmp_path / place).mkdir(parents=True)
        solid(color).save(tmp_path / place / "a.png")
        os.utime(tmp_path / place / "a.png", ns=(1, 1))
    for _ in range(2):
        assert load(data_path=str(tmp_path / "one/in"))[0, :, 0, 0].tolist() == list(RED)
        assert load(data_path=str(tmp_path / "two/in"))[0, :, 0, 0].tolist() == list(BLUE)
    assert len(cache_files(tmp_path)) == 2


def test_a_killed_build_is_gone_on_with(folder, tmp_path, load, monkeypatch):
    """SIGKILL in the fourth block: nothing that could be taken for a cache, and what was done is not decoded again."""
    for number in range(6):
        solid(number, mode="L").save(folder / f"{number}.png")
    script = (
        "import os, signal, sys, datasets.build, datasets.decoding as decoding\n"
        "from datasets import ImageDataset\n"
        "datasets.build.BLOCK_BYTES, whole = 1, decoding.decode_file\n"
        "def decode(path, *shape):\n"
        "    if path.endswith('3.png'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return whole(path, *shape)\n"
        "decoding.decode_file = decode\n"
        "ImageDataset('folder', sys.argv[1], image_size=8, cache_dir=sys.argv[2]).load()\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(tmp_path / "cache")]
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}).returncode == -9
    assert sorted(path.suffix for path in cache_files(tmp_path)) == [".journal", ".tmp"]
    decoded, decode_file = [], datasets.decoding.decode_file

    def counting(path, *shape):
        decoded.append(os.path.basename(path))
        return decode_file(path, *shape)

    monkeypatch.setattr(datasets.build, "BLOCK_BYTES", 1)
    monkeypatch.setattr(datasets.decoding, "decode_file", counting)
    assert load()[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert decoded == ["3.png", "4.png", "5.png"]
    assert [path.suffix for path in cache_files(tmp_path)] == [".npy"]


def test_an_interrupted_build_leaves_nothing(folder, tmp_path, load, monkeypatch):
    solid(RED).save(folder / "a.png")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(datasets.decoding, "decode_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert cache_files(tmp_path) == []


def test_a_truncated_cache_is_made_anew(folder, tmp_path, load):
    solid(RED).save(folder / "a.png")
    load()
    [path] = cache_files(tmp_path)
    for content in (path.read_bytes()[:-1], b"", b"?"):
        path.write_bytes(content)
        assert load()[0, :, 0, 0].tolist() == list(RED)


def test_blocks_do_not_change_the_result(folder, load, tmp_path, monkeypatch):
    for number in range(7):
        solid(number, mode="L").save(folder / f"{number}.png")
    monkeypatch.setattr(datasets.build, "BLOCK_BYTES", 3 * 8 * 8 * 2)
    assert load()[:, 0, 0, 0].tolist() == list(range(7))


def test_a_cache_that_cannot_be_written_is_a_request_error(folder, load, tmp_path):
    solid(RED).save(folder / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError) as error:
        load(cache_dir=str(tmp_path / "file"))
    assert "cache_dir" in message(error)


def test_one_owner_of_a_lock_at_a_time_and_no_file_left(tmp_path):
    """Each owner removes the file while the others wait for it: none of them may take the old one for the new."""
    counter, lock = tmp_path / "counter", str(tmp_path / "lock")
    counter.write_text("0")

    def count():
        for _ in range(10):
            with exclusive(lock):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "80" and os.listdir(tmp_path) == ["counter"]
