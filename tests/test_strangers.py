"""Files from strangers: pickles that would run code, pictures that would hang or exhaust, bytes at random."""

import contextlib
import io
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

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import datasets.cache
from datasets import check_source, load_images
from datasets.decode import UnreadablePictureError, decode_file
from diffusion import SampleInfo
from models import build_model, parameter_shapes
from tests.processes import run as script
from tests.test_checkpoints import Mark
from tests.training import advance, make_trainer
from utils.checkpoints import digest, load_checkpoint, load_state
from utils.config import load_settings
from utils.errors import RequestError, one_line
from utils.settings import Settings
from utils.untrusted import load_weights, shapes_of

ROOT = Path(__file__).resolve().parent.parent


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


@pytest.mark.parametrize("forge", ["optimizer", "shapes", "doctor", "nesting", "itself", "vast"])
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
    elif forge == "doctor":
        state["doctor"] = {"sums": 1}
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
    from utils.trained import real_data

    settings = load_settings(
        "config.yaml", "Cifar10", [f"data.cache_dir={tmp_path}/theirs", f"data.data_path={tmp_path}"]
    )
    args = type("Args", (), {"data_name": None, "data_path": None, "config": None})
    data = real_data(args, settings)
    assert (data.cache_dir, data.download) == ("data/cache", False)
    args.data_path = f"{tmp_path}/ours"
    assert real_data(args, settings).download and real_data(args, settings).data_path == f"{tmp_path}/ours"


# Pictures


def load(folder, **options):
    defaults = {"source": "folder", "data_path": str(folder), "image_size": 8, "image_channel": 3, "download": False,
                "skip_unreadable": False, "cache_dir": f"{folder}.cache", "progress": False}  # fmt: skip
    return load_images(**defaults | options)


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
    decode_file = datasets.cache.decode_file

    def decode_late(path, *shape):
        if path.endswith("b.png"):
            os.unlink(path)
        return decode_file(path, *shape)

    monkeypatch.setattr(datasets.cache, "decode_file", decode_late)
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
                check_source("folder", str(folder), download=False)
            folder.chmod(0o700)
            (base / "cache").mkdir(mode=0o500)
            with pytest.raises(RequestError, match="Permission denied.*data.cache_dir"):
                load(folder, cache_dir=f"{base}/cache/deep", skip_unreadable=True)
        finally:
            shutil.rmtree(base)


# Bytes at random: a few in the quick form, always the same; many others by -m slow

PATIENT = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
FEW = settings(max_examples=60, derandomize=True, **PATIENT)
MANY = settings(max_examples=1500, **PATIENT)


def accepted(read) -> object:
    """What `read` gives; None if it refuses, which it must do by a RequestError of one line that is not endless."""
    try:
        return read()
    except RequestError as error:
        line = one_line(str(error))
        assert line and line.isprintable() and len(line) < 2100
        return None


TEXTS = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"[A-Za-z]{1,6}_[0-9]{1,12}_[0-9]{0,3}p[0-9]{0,30}(_[a-z]{1,8})?", fullmatch=True),
    st.from_regex(r"(DDPM|DDIM|dpmpp)_[0-9]{1,9}_0p[0-9]{1,25}(_(uniform|quad|logsnr))?", fullmatch=True),
)


def check_sampler(text):
    try:
        info = SampleInfo.parse(text)
    except ValueError as error:
        assert repr(text[:80])[1:-1] in str(error) and "METHOD_STEPS_ETA" in str(error)
        return
    assert SampleInfo.parse(str(info)) == info and str(SampleInfo.parse(str(info))) == str(info)
    assert len(f"{info}_progress.png") < 100  # it names files


@FEW
@given(TEXTS)
@example("DDIM_50_0p" + "0" * 19 + "1")
@example("DDIM_" + "9" * 5000 + "_0p0")
@example("DDIM_50_0p" + "0" * 400 + "1")
@example("DDIM_20_0p0_log\u017fnr")
def test_any_text_is_a_sampler_that_comes_back_or_is_refused(text):
    check_sampler(text)


@pytest.mark.slow
@MANY
@given(TEXTS)
def test_any_text_is_a_sampler_many_times(text):
    check_sampler(text)


# What means something to YAML or to the settings, in any order; and an entry that works, with a few characters changed.
WORDS = ["Train_Setting", "Train_Data", "Mine", "data", "data_path", "model", "channel_mult", "train", "batch_size", "learning_rate",
         "1", "-1", "1e400", ".inf", ".nan", "0x10", "1:30", "2020-13-45", "~", "true", "on", "/tmp", "'", '"', "&a", "*a", "<<", "!!map",
         "!!int", "!!binary", "!!set", "!!python/name:os.system", "|", ">", "?", "-", "- ", ": ", ":", ", ", "[", "]", "{", "}", "#", "%", "@", "\n", "\n  ", "\n    ",
         "\t", "---", "...", "\x00", "\x85", "\u2028", "\ud800", "9" * 5000]  # fmt: skip
GOOD = "Train_Setting:\n  train: {batch_size: 2}\nTrain_Data:\n  Mine:\n    data:\n      data_path: /tmp\n    model: {channel_mult: [1, 2]}\n"
EDITS = st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(WORDS)), max_size=4)
FRAGMENTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=30).map("".join),
    st.text(max_size=60),
    EDITS.map(lambda edits: edited(GOOD, edits)),
)


def edited(text, edits):
    """`text` with each edit (where, how many characters go, what comes) made to it."""
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    return text


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return tmp_path_factory.mktemp("desk")


def check_yaml(desk, text):
    (desk / "config.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    found = accepted(lambda: load_settings(str(desk / "config.yaml"), "Mine"))
    assert found is None or isinstance(found, Settings)
    if "\x00" not in text:
        found = accepted(lambda: load_settings("config.yaml", "Mnist_Mini", [f"model.channel_mult={text}"]))
        assert found is None or isinstance(found, Settings)


@FEW
@given(text=FRAGMENTS)
@example(text=GOOD)
@example(text="? [a]\n: b")
@example(text="&a [*a]")
@example(text="!!map [1, 2]")
@example(text="a: !!int ''")
@example(text="a: !!bool maybe")
@example(text="a: !!timestamp now")
@example(text="a: " + "9" * 5000)
def test_any_yaml_is_settings_or_refused(desk, text):
    check_yaml(desk, text)


@pytest.mark.slow
@MANY
@given(text=FRAGMENTS)
def test_any_yaml_many_times(desk, text):
    check_yaml(desk, text)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """The bytes of a small run's two files, of a pickle of the old format, and the network that they belong to."""
    folder = tmp_path_factory.mktemp("checkpoints")
    trainer = make_trainer()
    advance(trainer, 1)
    trainer.save(folder)
    old = io.BytesIO()
    torch.save({"unet_model": {"a": torch.zeros(3)}}, old, _use_new_zipfile_serialization=False)
    files = {
        "a.safetensors": (folder / "model.safetensors").read_bytes(),
        "a.pt": (folder / "trainer_state.pt").read_bytes(),
    }
    return folder, files | {"old.pt": old.getvalue()}, build_model(**trainer.settings.model_arguments())


# Where, as a share of the file or (for most of what matters) among its first or last bytes; what goes, what comes.
PLACES = st.one_of(st.floats(0, 1), st.integers(0, 4000), st.integers(-4000, -1))
BYTES = st.one_of(
    st.binary(max_size=6), st.sampled_from([b"", b"9" * 9, b"-1", b"1e99", b"[", b'"', b"\xff" * 8, b"\0" * 8])
)
DAMAGE = st.lists(st.tuples(PLACES, st.sampled_from([0, 1, 1, 2, 4, 8, 10**9]), BYTES), min_size=1, max_size=3)


def damaged(content, damage):
    for place, length, new in damage:
        at = int(place * len(content)) if isinstance(place, float) else place % (len(content) + 1)
        content = content[:at] + new + content[at + length :]
    return content


def check_checkpoint(checkpoints, name, damage):
    folder, files, model = checkpoints
    path = folder / name
    path.write_bytes(damaged(files[name], damage))
    found = accepted(lambda: load_checkpoint(path))
    if found is not None:
        assert isinstance(found.settings, Settings) and found.step >= 0
        if parameter_shapes(found.settings.model_arguments()) == shapes_of(model.state_dict()):
            accepted(lambda: load_weights(model, found.weights, path))
            assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    if name == "a.pt":
        state = accepted(lambda: load_state(path))
        assert state is None or {"settings", "step", "model", "ema", "optimizer"} <= state.keys()


NAMES = st.sampled_from(["a.safetensors", "a.pt", "old.pt"])


@FEW
@given(name=NAMES, damage=DAMAGE)
def test_any_bytes_are_a_checkpoint_or_refused(checkpoints, name, damage):
    check_checkpoint(checkpoints, name, damage)


@pytest.mark.slow
@MANY
@given(name=NAMES, damage=DAMAGE)
def test_any_bytes_many_times(checkpoints, name, damage):
    check_checkpoint(checkpoints, name, damage)


def picture_files() -> dict[str, bytes]:
    """A small picture in every format that is read."""
    files = {}
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8))
    for kind in ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"):
        stream = io.BytesIO()
        noise.save(stream, kind)
        files[kind] = stream.getvalue()
    return files


PICTURES = picture_files()


def check_picture(desk, kind, damage):
    path = desk / "a.png"
    path.write_bytes(damaged(PICTURES[kind], damage))
    warnings.simplefilter("ignore")
    try:
        assert decode_file(str(path), 8, 3).shape == (3, 8, 8)
    except UnreadablePictureError as error:
        assert str(error) and "\n" not in str(error)


@FEW
@given(kind=st.sampled_from(list(PICTURES)), damage=DAMAGE)
def test_any_bytes_are_a_picture_or_unreadable(desk, kind, damage):
    check_picture(desk, kind, damage)


@pytest.mark.slow
@MANY
@given(kind=st.sampled_from(list(PICTURES)), damage=DAMAGE)
def test_any_picture_many_times(desk, kind, damage):
    check_picture(desk, kind, damage)
