"""Bytes and words at random, where files and texts from strangers are read: refused in one line, or read."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from datasets.decode import UnreadablePictureError, decode_file
from datasets.shaping import Shaping
from diffusion import SampleInfo
from models import build_model, parameter_shapes
from tests.small_training import advance, make_trainer, settings_of
from utils.checkpoints import load_checkpoint, load_state
from utils.config import load_settings
from utils.errors import RequestError, one_line
from utils.settings import Settings
from utils.untrusted import load_weights, shapes_of

ROOT = Path(__file__).resolve().parents[2]


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
    return folder, files | {"old.pt": old.getvalue()}, build_model(**settings_of(trainer).model_arguments())


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
            accepted(lambda: load_weights(model, found.state_dict, path))
            assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    if name == "a.pt":
        state = accepted(lambda: load_state(path))
        assert state is None or {"settings", "step", "model", "ema", "optimizer"} <= state.keys()


def test_every_beginning_of_a_file_is_refused(checkpoints):
    folder, files, _ = checkpoints
    for name, content in files.items():
        lengths = {*range(min(600, len(content))), *range(max(0, len(content) - 200), len(content))}
        for length in sorted(lengths):
            (folder / name).write_bytes(content[:length])
            with pytest.raises(RequestError, match=name):
                load_checkpoint(folder / name)


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
        assert decode_file(str(path), Shaping(3, 8, 8)).shape == (3, 8, 8)
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
