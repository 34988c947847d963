"""Folders of a user's own: every kind of picture, links, what is left out, and why a picture cannot be read."""

import io
import os
import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import datasets.decode
import datasets.survey
from datasets import FACTS, Batches, ImageDataset
from datasets.decode import EXTENSIONS, FORMATS, OPTIONAL, READ_FORMATS, UnreadablePictureError, decode_file
from datasets.shaping import Shaping
from evaluation.extractor import EXTRACTORS, extractor_for
from tests.pictures import BLUE, CPU, GREEN, RED, message, solid
from training.previews import data_figures
from utils.errors import RequestError
from utils.settings import DataSettings

ROOT = Path(__file__).resolve().parents[2]


# Kinds of pictures


@pytest.mark.parametrize("ending, kind", [(ending, kind) for kind in FORMATS for ending in FORMATS[kind]])
def test_each_ending_is_read(load, folder, ending, kind):
    if kind not in READ_FORMATS:
        pytest.skip(f"this Pillow cannot write {kind}")
    picture = solid(GREEN, (16, 16))
    if ending == ".pbm":
        picture = solid(1, (16, 16), "1")
    picture.save(folder / f"a{ending.upper()}", format=kind)
    pixels = load()
    assert pixels.shape == (1, 3, 8, 8)
    expected = (255, 255, 255) if ending == ".pbm" else GREEN
    assert np.abs(pixels[0, :, 4, 4].astype(int) - expected).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP", "AVIF"])
def test_the_first_of_several_frames_is_taken(load, folder, kind):
    if kind not in READ_FORMATS:
        pytest.skip(f"this Pillow cannot write {kind}")
    frames = [solid(color, (16, 16)) for color in (RED, GREEN, BLUE)]
    frames[0].save(folder / f"a{FORMATS[kind][0]}", format=kind, save_all=True, append_images=frames[1:])
    assert np.abs(load()[0, :, 4, 4].astype(int) - RED).max() <= 8


def test_a_jpeg_2000_stream_larger_than_its_header_is_refused(tmp_path):
    """A stream of 3000 x 3000 pixels in a file that says 8 x 8."""
    if not OPTIONAL["JPEG2000"]:
        pytest.skip("this Pillow cannot write JPEG 2000")
    buffer = io.BytesIO()
    solid(RED, (3000, 3000)).save(buffer, "JPEG2000")
    content, place = buffer.getvalue(), buffer.getvalue().index(b"ihdr") + 4
    (tmp_path / "a.jp2").write_bytes(content[:place] + struct.pack(">II", 8, 8) + content[place + 8 :])
    with pytest.raises(UnreadablePictureError):
        decode_file(str(tmp_path / "a.jp2"), Shaping(3, 8, 8))


def test_a_vast_file_is_refused_before_it_is_read(load, folder):
    for name, head in (("a.avif", b"\0\0\0\x20ftypavif"), ("b.webp", b"RIFF\xff\xff\xff\xffWEBP")):
        (folder / name).write_bytes(head)
        os.truncate(folder / name, 2**36)  # a hole: it takes no room
    solid(RED).save(folder / "c.png")
    start = time.process_time()
    with pytest.raises(RequestError, match="a.avif.*a file of 64.0 GiB"):
        load()
    assert load(skip_unreadable=True).shape[0] == 1 and time.process_time() - start < 5


@pytest.mark.parametrize(
    "error, words",
    [
        (KeyError(101), "its content is damaged, which the decoder met as KeyError 101"),
        (EOFError(), "the file ends too early"),
        (struct.error("unpack requires 4 bytes"), "damaged.*unpack requires 4 bytes"),
        (ValueError(), "damaged.*ValueError$"),
        (MemoryError(), "not enough memory"),
        (OSError("image file is truncated"), "^image file is truncated$"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_reasons_are_words(tmp_path, monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    solid(RED).save(tmp_path / "a.png")
    monkeypatch.setattr(datasets.decode, "decode_picture", fail)
    with pytest.raises(UnreadablePictureError, match=words):
        decode_file(str(tmp_path / "a.png"), Shaping(3, 8, 8))


def test_one_is_singular(load, folder, capsys):
    (folder / "a.png").write_bytes(b"?")
    with pytest.raises(RequestError, match="of 1 file;"):
        load(skip_unreadable=True)
    solid(RED).save(folder / "b.png")
    load(skip_unreadable=True)
    assert "skipped 1 unreadable picture:\n" in capsys.readouterr().err


# Links to folders


def test_links_to_folders_are_followed_once_and_never_to_what_holds_them(dataset, folder, tmp_path):
    """Each picture's grey is its number: which are there, and in which order, is seen at once."""

    def save(number: int, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        solid(number, mode="L").save(path)

    save(1, folder / "own" / "a.png")
    save(2, tmp_path / "far" / "deep" / "a.png")
    save(3, tmp_path / "beside.png")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "far")  # a loop
    (tmp_path / "far" / "to_root").symlink_to(folder)
    (folder / "again").symlink_to(folder / "own")  # read already
    (folder / "self").symlink_to(folder)
    (folder / "up").symlink_to(tmp_path)
    (folder / "far").symlink_to(tmp_path / "far")
    (folder / "whole").symlink_to("/")
    data = dataset()
    assert data.load().images[:, 0, 0, 0].tolist() == [2, 1]  # far/deep/a.png, own/a.png
    assert data.survey().left_out == {
        "links to a folder that holds this one": 4,
        "links to a folder that is read already": 2,
    }
    labelled = dataset(class_from_folder=True).load()
    assert labelled.class_names == ("far", "own") and labelled.labels.tolist() == [0, 1]


# What is left out


def test_a_survey_says_what_is_left_out_and_what_is_small(dataset, folder, monkeypatch):
    for number in range(10):
        solid(RED, (8, 8) if number < 7 else (20, 7)).save(folder / f"{number}.png")
    for name in ("a.txt", "b.TXT", "c.heic", ".DS_Store", "README", "broken.png", "steers.\x1b[31m"):
        (folder / name).write_bytes(b"?")
    os.mkfifo(folder / "pipe.png")
    survey = dataset().survey()
    assert survey.pictures == dataset().count() == 11
    assert survey.left_out == {
        ".txt": 2,
        ".heic": 1,
        "hidden": 1,
        "of no known ending": 1,
        ".\\x1b[31m": 1,
        "no file": 1,
    }
    assert (survey.looked_at, survey.smaller) == (11, 3)
    lines = survey.lines()
    assert lines[0].startswith("left out: 2 .txt, 1 ") and lines[1:] == [
        "smaller than 8x8, and enlarged: 3 of 11 pictures"
    ]
    monkeypatch.setattr(datasets.survey, "LOOKED_AT", 5)
    few = dataset(image_size=64).survey()
    assert few.looked_at == 4 and few.lines()[1].endswith("enlarged: 4 of 4 pictures that were looked at")
    monkeypatch.setattr("datasets.folders.EXTENSIONS", (".png",))
    monkeypatch.setattr("datasets.folders.UNSUPPORTED", {".heic"})
    assert dataset().survey().left_out[".heic (which this Pillow cannot read)"] == 1


def test_a_survey_of_a_known_set(dataset):
    assert dataset(source="mnist_mini", data_path=None, image_size=28).survey().lines() == []
    assert dataset(source="mnist_mini", data_path=None, image_size=32).survey().lines() == [
        "smaller than 32x32, and enlarged: 7,000 of 7,000 pictures"
    ]


def test_the_error_says_which_endings_are_read(dataset, folder):
    (folder / "a.heic").write_bytes(b"?")
    with pytest.raises(RequestError) as error:
        dataset().survey()
    assert "1 .heic" in message(error) and all(ending in message(error) for ending in EXTENSIONS)


# Facts


def test_the_sources_are_the_same_everywhere():
    assert get_args(DataSettings.model_fields["source"].annotation) == tuple(FACTS)
    for source, facts in FACTS.items():
        assert facts.extractor in (None, *EXTRACTORS) and extractor_for(source, "weights.pth") in (facts.extractor, "inception")
        assert facts.licence and facts.origin and "train" in facts.splits
        data = ImageDataset(source)
        assert data.has_split("train") and data.has_split("test") == ("test" in facts.splits)


def test_facts_are_those_of_the_embedded_files(dataset):
    licences = (ROOT / "datasets" / "assets" / "README.md").read_text(encoding="utf-8")
    for source in ("mnist_mini", "emoji"):
        facts = FACTS[source]
        assert facts.asset in licences and facts.licence in licences
        for split, number in facts.splits.items():
            images = (
                dataset(source=source, data_path=None, image_size=facts.side, image_channel=facts.channels)
                .load(split)
                .images
            )
            assert images.shape == (number, facts.channels, facts.side, facts.side)


# Platforms and warnings


def test_a_set_makes_batches_without_a_warning(dataset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images, labels = dataset(source="mnist_mini", data_path=None).load("test")[:2]
        for resident_bytes in (None, 0):
            Batches(images, 16, 0, True, CPU, labels=labels, resident_bytes=resident_bytes)[3]
        data_figures(images)


def test_datasets_work_where_there_is_no_unix(folder, tmp_path):
    """Without fcntl, os.sysconf and the like; a cache file that cannot be deleted is left."""
    solid(RED).save(folder / "a.png")
    script = (
        "import os, sys, psutil\n"  # which itself uses what its platform has
        "sys.modules['fcntl'] = sys.modules['resource'] = None\n"
        "unlink = os.unlink\n"
        "def refuse(path, **options):\n"
        "    if str(path).endswith('.npy'): raise PermissionError(13, 'mapped by another process', path)\n"
        "    unlink(path, **options)\n"
        "os.unlink = refuse\n"
        "for name in ('sysconf', 'link', 'mkfifo', 'geteuid'): delattr(os, name)\n"
        "import torch\n"
        "from datasets import Batches, ImageDataset\n"
        "data = ImageDataset('folder', sys.argv[1], image_size=8, cache_dir=sys.argv[2])\n"
        "data.load()\n"
        "os.utime(os.path.join(sys.argv[1], 'a.png'), ns=(1, 1))\n"
        "images = data.load().images\n"
        "print(Batches(images, 2, 0, True, torch.device('cpu'))[0].images.shape)\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(tmp_path / "cache")]
    ended = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert ended.returncode == 0 and "[2, 3, 8, 8]" in ended.stdout, ended.stderr
    assert len([path for path in (tmp_path / "cache").iterdir() if path.suffix == ".npy"]) == 2
