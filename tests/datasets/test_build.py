"""The cache of many pictures: built by several processes, killed and gone on with, and opened without reading it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import datasets.build
from datasets import ImageDataset
from datasets.processes import decode_in_processes
from tests.datasets.packs import hub_table, png, write_tar, write_zip
from tests.pictures import cache_files, message
from utils.errors import RequestError

ROOT = Path(__file__).resolve().parents[2]
COUNT = 300
BUILD = (
    "import signal, sys, time, datasets.build as build\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell's children ignore it
    "from datasets import ImageDataset\n"
    "build.MANY, build.BLOCK_BYTES, build.core_num = 10, 10 * 8 * 8 * 3, lambda: 2\n"
    "note = build.PartialFile.note\n"  # slower, so that the signal comes before the end
    "build.PartialFile.note = lambda *its: (note(*its), time.sleep(0.3))\n"
    "ImageDataset('folder', sys.argv[1], image_size=8, cache_dir=sys.argv[2]).load()\n"
)


@pytest.fixture(scope="module")
def numbered() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (COUNT, 8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def content(numbered) -> dict[str, bytes]:
    """The files of COUNT pictures, in another order than that of their names."""
    names = [f"{number % 7}/{number:04d}.png" for number in range(COUNT)]
    return {name: png(picture) for name, picture in zip(names, numbered)}


@pytest.fixture
def two_processes(monkeypatch):
    monkeypatch.setattr(datasets.build, "MANY", 10)
    monkeypatch.setattr(datasets.build, "BLOCK_BYTES", 10 * 8 * 8 * 3)  # ranges of ten
    monkeypatch.setattr(datasets.build, "core_num", lambda: 2)
    started = []

    def counted(job, chunks, tell, process_num):
        started.append((process_num, len(chunks)))
        return decode_in_processes(job, chunks, tell, process_num)

    monkeypatch.setattr(datasets.build, "decode_in_processes", counted)
    return started


def rows(numbered: np.ndarray) -> np.ndarray:
    """As the cache has them, sorted by name."""
    order = sorted(range(COUNT), key=lambda number: f"{number % 7}/{number:04d}.png")
    return numbered[order].transpose(0, 3, 1, 2)


@pytest.mark.parametrize("kind", ["zip", "tgz", "parquet"])
def test_several_processes_build_what_one_does(dataset, tmp_path, numbered, content, two_processes, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(hub_table(dict(sorted(content.items())), [0] * COUNT), path, row_group_size=77)
    else:
        write_zip(path, content) if kind == "zip" else write_tar(path, content, "w:gz")
    assert np.array_equal(dataset(data_path=str(path)).load().images, rows(numbered))
    assert two_processes == [(2, 31 if kind == "parquet" else 30)]
    assert all(path.suffix in (".npy", ".npz") for path in cache_files(tmp_path))


def test_unreadable_pictures_of_several_processes(dataset, tmp_path, numbered, content, two_processes, capsys):
    names = sorted(content)
    broken = {names[number]: b"?" for number in (0, 9, 10, 155, COUNT - 1)}
    path = write_zip(tmp_path / "a.zip", {**content, **broken})
    with pytest.raises(RequestError, match="cannot read the picture .*a.zip: ./.*png .*skip_unreadable"):
        dataset(data_path=str(path)).load()
    kept = [number for number in range(COUNT) if names[number] not in broken]
    for _ in range(2):
        loaded = dataset(data_path=str(path), skip_unreadable=True, class_from_folder=True).load()
        assert np.array_equal(loaded.images, rows(numbered)[kept])
        assert loaded.labels.tolist() == [int(names[number][0]) for number in kept]
    assert capsys.readouterr().err.count("skipped 5 unreadable pictures") == 1


def start(path: Path, cache: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", BUILD, str(path), str(cache)], env=environment, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_ends_early_is_gone_on_with(dataset, tmp_path, numbered, content, two_processes, number, monkeypatch):
    """The processes end with the first one, and only what was not noted down is decoded again."""
    path, cache = write_tar(tmp_path / "a.tar", content), tmp_path / "cache"
    process = start(path, cache)
    family, limit = [], time.monotonic() + 60
    while not any(path.read_text().count("\n") > 1 for path in cache.glob(".*.journal")) and time.monotonic() < limit:
        family = psutil.Process(process.pid).children(recursive=True) or family
    process.send_signal(number)
    process.wait(30)
    psutil.wait_procs(family, timeout=30)
    assert len(family) == 2 and not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)
    process.stderr.close()
    [journal] = cache.glob(".*.journal")
    done = [json.loads(line)[:2] for line in journal.read_text().split("\n")[1:-1]]
    assert 1 <= len(done) < 30
    assert np.array_equal(dataset(data_path=str(path)).load().images, rows(numbered))
    assert two_processes == [(2, 30 - len(done))]
    assert sorted(path.suffix for path in cache_files(tmp_path)) == [".npy", ".npz"]


def test_what_is_left_of_other_pictures_is_not_gone_on_with(dataset, tmp_path, numbered, content, two_processes):
    path, cache = write_tar(tmp_path / "a.tar", content), tmp_path / "cache"
    broken = {**content, sorted(content)[-1]: b"?"}
    write_tar(path, broken)
    with pytest.raises(RequestError):
        dataset(data_path=str(path)).load()
    assert list(cache.glob(".*.journal"))
    write_tar(path, content)
    assert np.array_equal(dataset(data_path=str(path)).load().images, rows(numbered))
    assert two_processes == [(2, 30), (2, 30)]


@pytest.mark.parametrize("harm", ["cut line", "other file", "garbage", "no pictures"])
def test_a_journal_is_believed_as_far_as_it_is_whole(dataset, tmp_path, numbered, content, two_processes, harm):
    path, cache = write_zip(tmp_path / "a.zip", {**content, sorted(content)[-1]: b"?"}), tmp_path / "cache"
    with pytest.raises(RequestError):
        dataset(data_path=str(path)).load()
    [journal] = cache.glob(".*.journal")
    lines = journal.read_text().split("\n")
    if harm == "cut line":
        journal.write_text("\n".join(lines[:-1])[:-3])
    elif harm == "other file":
        journal.write_text("\n".join(['["other", 300, [3, 8, 8]]', *lines[1:]]))
    elif harm == "garbage":
        journal.write_bytes(b"\xff\xfe")
    else:
        journal.with_name(journal.name.removesuffix(".journal")).unlink()
    loaded = dataset(data_path=str(path), skip_unreadable=True).load()
    assert np.array_equal(loaded.images, rows(numbered)[:-1])
    again = 30 - (len(lines) - 3) if harm == "cut line" else 30
    assert two_processes[1:] == [(2, again)]


def test_a_killed_worker_is_a_line(dataset, tmp_path, content, two_processes, monkeypatch):
    path = write_zip(tmp_path / "a.zip", content)
    whole = datasets.processes.start_worker

    def short_lived(job):
        worker = whole(job)
        worker.kill()
        return worker

    monkeypatch.setattr(datasets.processes, "start_worker", short_lived)
    with pytest.raises(RequestError, match="has ended .status -9; is the memory used up"):
        dataset(data_path=str(path)).load()


def test_no_room_is_said_before(dataset, tmp_path, content, monkeypatch):
    path = write_zip(tmp_path / "a.zip", content)
    usage = datasets.build.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(datasets.build.shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(RequestError, match="make room, or set data.cache_dir") as error:
        dataset(data_path=str(path)).load()
    message(error)


def test_a_large_cache_is_opened_without_being_read(tmp_path):
    """A million pictures of 32x32, in a file that is a hole: the list of the archive is not looked at either."""
    path, cache = write_zip(tmp_path / "a.zip", {"a.png": png(np.zeros((32, 32, 3), np.uint8))}), tmp_path / "cache"
    data = ImageDataset("folder", str(path), 32, cache_dir=str(cache))
    file = data.load().images.filename
    with open(file, "r+b") as opened:
        datasets.build.write_header(opened, (10**6, 3, 32, 32))
        opened.seek(opened.tell() + 10**6 * 3 * 32 * 32)
        np.lib.format.write_array(opened, np.zeros(0, np.int64))
        np.lib.format.write_array(opened, np.frombuffer(b"[]", np.uint8))
    before, begin = psutil.Process().memory_full_info().uss, time.process_time()
    images = data.load().images
    assert images.shape == (10**6, 3, 32, 32) and isinstance(images, np.memmap)
    assert psutil.Process().memory_full_info().uss - before < 5e6 and time.process_time() - begin < 0.5


def test_the_processes_load_no_torch(tmp_path):
    script = "import sys, datasets.processes, datasets.members; print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout == "False\n", ended.stderr
