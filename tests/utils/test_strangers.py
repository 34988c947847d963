"""Files from strangers: pickles that would run code, pictures that would hang or exhaust."""

import contextlib
import os
import pickle
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

import datasets.decoding
from datasets import ImageDataset
from tests.processes import run as script
from tests.small_training import advance, make_trainer
from tests.utils.test_checkpoints import Mark
from utils.checkpoints import digest, load_state
from utils.config import load_settings
from utils.errors import RequestError, one_line

ROOT = Path(__file__).resolve().parents[2]


# Pickles


@pytest.mark.parametrize("target", ["model", "state"])
def test_a_malicious_pickle_is_refused_and_leaves_no_mark(tmp_path, target):
    mark = tmp_path / "mark"
    evil = pickle.dumps({"settings": Mark(str(mark)), "model": {}, "step": 1}, protocol=2)  # torch's own protocol
    pickle.loads(evil)
    assert mark.is_dir()  # it would, if it were unpickled freely
    mark.rmdir()
    run = tmp_path / "run"
    run.mkdir()
    if target == "model":
        with zipfile.ZipFile(run / "model.pt", "w") as archive:  # as torch.save writes it
            archive.writestr("model/data.pkl", evil)
            archive.writestr("model/version", "3\n")
        process = script("test_solver.py", "--model_path", run / "model.pt", "--save_dir", tmp_path / "out")
    else:
        (run / "trainer_state.pt").write_bytes(evil)
        process = script("train_solver.py", "--data_name", "Mnist_Mini", "--save_dir", run, "--max_steps", 1)
    assert process.returncode == 2 and process.stderr.count("\n") == 1, process.stderr
    assert str(run) in process.stderr and "never done" in process.stderr and "weights_only" not in process.stderr
    assert {path.name for path in tmp_path.rglob("*")} <= {"run", "model.pt", "trainer_state.pt"}


@pytest.mark.parametrize("forge", ["optimizer", "shapes", "monitor", "nesting", "itself", "vast"])
def test_a_state_with_a_checksum_of_its_own_is_not_believed(tmp_path, forge):
    """Whoever makes a state can make its checksum too."""
    trainer = make_trainer()
    advance(trainer, 1)
    trainer.save(tmp_path)
    state = torch.load(tmp_path / "trainer_state.pt", weights_only=True)
    del state["digest"]
    if forge == "optimizer":
        state["optimizer"] = {"state": {}, "param_groups": []}
    elif forge == "shapes":
        state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)
    elif forge == "monitor":
        state["monitor"] = {"loss_sums": 1}
    elif forge == "nesting":
        for _ in range(3000):
            state["scaler"] = {"a": state["scaler"]}
    elif forge == "itself":
        state["skipped"].append(state["skipped"])
    else:
        state["scaler"] = {"a": torch.zeros(1).expand(10**6, 10**6)}
    with contextlib.suppress(RecursionError, RuntimeError):  # then it cannot be made, and is refused for the lack of it
        state["digest"] = digest(state) if forge != "vast" else ""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # to write what is nested so deep
    torch.save(state, tmp_path / "trainer_state.pt")
    sys.setrecursionlimit(limit)
    with pytest.raises(RequestError, match="trainer_state.pt"):
        make_trainer().load(load_state(tmp_path / "trainer_state.pt"), tmp_path / "trainer_state.pt")


def test_a_checkpoint_says_nothing_of_where_to_write(tmp_path, monkeypatch):
    """A stranger's file names a cache folder: it is not used."""
    from modes.real_data import real_data

    settings = load_settings(
        "config.yaml", "Cifar10", [f"data.cache_dir={tmp_path}/theirs", f"data.data_path={tmp_path}"]
    )
    data = real_data(settings)
    assert (data.cache_dir, data.download) == ("data/cache", False)
    data = real_data(settings, data_path=f"{tmp_path}/ours")
    assert data.download and data.data_path == f"{tmp_path}/ours"


# Pictures


def load(folder, **options):
    defaults = {"source": "folder", "data_path": str(folder), "image_size": 8, "cache_dir": f"{folder}.cache"}
    return ImageDataset(**defaults | options).load(progress=False).images


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: int | None = None, extra: bytes = b"") -> bytes:
    """A black PNG of one bit a pixel, of which only `rows` rows are there, written by hand: it takes no memory to make."""
    data = zlib.compress(bytes(((width + 7) // 8 + 1) * (height if rows is None else rows)))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content, words",
    [
        (png(20_000, 20_000), "decompression bomb"),  # 50 MB of zeros in 50 kB, 1.2 GB as colours
        (png(60_000, 60_000, rows=1), "decompression bomb"),
        (png(2**31 - 1, 2**31 - 1, rows=0), "decompression bomb"),
        (png(8, 8, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27)))), "too large"),
        (b"a text that is called a picture", "cannot identify"),
    ],
    ids=["bomb", "wide", "widest", "text", "no picture"],
)
def test_pictures_that_would_exhaust_are_refused_at_once(tmp_path, content, words):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(content)
    Image.new("RGB", (8, 8)).save(folder / "b.png")
    start = time.process_time()
    with pytest.raises(RequestError, match=f"a.png.*{words}.*skip_unreadable"):
        load(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]  # no cache, and no folder for one
    assert len(load(folder, skip_unreadable=True)) == 1
    assert time.process_time() - start < 5


def test_a_wide_picture_is_cropped(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(png(60_000, 100))
    assert (load(tmp_path / "in") == 0).all()


def test_odd_pictures_are_read_without_a_word(tmp_path, capfd):
    """One pixel, a moving GIF under another name, a name that is no text, EXIF data that is cut off, a bytes palette."""
    folder = tmp_path / "in"
    folder.mkdir()
    Image.new("RGB", (1, 1), (255, 0, 0)).save(folder / "a.png")
    frames = [Image.new("RGB", (9, 9), color) for color in ((0, 255, 0), (0, 0, 255))]
    frames[0].save(folder / "b.png", format="GIF", save_all=True, append_images=frames[1:])
    Image.new("RGB", (9, 9), (0, 0, 255)).save(os.path.join(os.fsencode(folder), b"c\xff.png"), format="PNG")
    Image.new("RGB", (9, 9), (9, 9, 9)).save(folder / "d.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03")
    palette = Image.new("P", (9, 9), 0)
    palette.putpalette([7, 7, 7])
    palette.save(folder / "e.png", transparency=bytes([255, 0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's name no picture
        pixels = load(folder)[:, :, 4, 4].tolist()
    assert pixels[:3] == [[255, 0, 0], [0, 255, 0], [0, 0, 255]] and pixels[4] == [7, 7, 7]
    assert capfd.readouterr() == ("", "")
    (folder / "f\udcfe.png").write_bytes(b"?")
    with pytest.raises(RequestError) as error:
        load(folder)
    assert "f\\udcfe.png" in one_line(str(error.value)) and one_line(str(error.value)).isascii()


def test_a_picture_that_vanishes_while_being_read_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(folder / name)
    decode_file = datasets.decoding.decode_file

    def decode_late(path, *shape):
        if path.endswith("b.png"):
            os.unlink(path)
        return decode_file(path, *shape)

    monkeypatch.setattr(datasets.decoding, "decode_file", decode_late)
    with pytest.raises(RequestError, match="b.png.*No such file"):
        load(folder)
    assert os.listdir(tmp_path) == ["in"]
    Image.new("RGB", (8, 8)).save(folder / "b.png")
    assert len(load(folder, skip_unreadable=True)) == 1


@contextlib.contextmanager
def without_root():
    """As nobody, where the tests run as root, whom no permission stops."""
    if os.geteuid() != 0:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_permissions_are_named():
    Image.init()  # imports Pillow's plugins while that is still allowed
    with without_root():
        base = Path(tempfile.mkdtemp())
        try:
            folder = base / "in"
            folder.mkdir()
            for name in ("a.png", "b.png"):
                Image.new("RGB", (8, 8)).save(folder / name)
            (folder / "b.png").chmod(0)
            with pytest.raises(RequestError, match="b.png.*Permission denied"):
                load(folder)
            assert len(load(folder, skip_unreadable=True)) == 1
            (folder / "below").mkdir(mode=0)
            with pytest.raises(RequestError, match="cannot list .*below: Permission denied"):
                load(folder)
            (folder / "below").chmod(0o700)
            folder.chmod(0)
            with pytest.raises(RequestError, match="cannot list .*in: Permission denied"):
                ImageDataset("folder", str(folder)).count()
            folder.chmod(0o700)
            (base / "cache").mkdir(mode=0o500)
            with pytest.raises(RequestError, match="Permission denied.*data.cache_dir"):
                load(folder, cache_dir=f"{base}/cache/deep", skip_unreadable=True)
        finally:
            shutil.rmtree(base)
