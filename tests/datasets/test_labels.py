"""Labels: of each source, through the cache with their pictures, and refused where they cannot be had."""

import gzip
import hashlib
import os
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torchvision.datasets

import datasets.build
import datasets.downloads
from datasets import FACTS
from tests.pictures import cache_files, message, solid, write_cifar10, write_flowers, write_idx, write_mnist
from utils.errors import RequestError

ASSETS = Path(datasets.__file__).parent / "assets"


def is_labels(labels: np.ndarray, expected) -> bool:
    return labels.dtype == np.int64 and labels.tolist() == list(expected)


# Each source


@pytest.mark.parametrize(
    "source, file, sizes", [("mnist_mini", "mnist_mini.npz", (7000, 1000)), ("emoji", "emoji_64.npz", (1911,))]
)
def test_the_embedded_sets(dataset, source, file, sizes):
    with np.load(ASSETS / file, allow_pickle=False) as arrays:
        labels = arrays["labels"]
        names = arrays["classes"].tolist() if "classes" in arrays else [str(digit) for digit in range(10)]
    data, end = dataset(source=source, data_path=None), 0
    for split, size in zip(("train", "test"), sizes):
        loaded = data.load(split)
        assert is_labels(loaded.labels, labels[end : end + size]) and len(loaded.images) == size
        assert list(loaded.class_names) == names == list(data.class_names()) and data.num_classes() == 10
        end += size
    assert end == len(labels)


@pytest.mark.parametrize("source, name", [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files(dataset, tmp_path, source, name):
    raw = tmp_path / name / "raw"
    write_mnist(raw)
    data = dataset(source=source, data_path=str(tmp_path))
    assert is_labels(data.load().labels, range(5)) and is_labels(data.load("test").labels, range(3))
    for wrong, words in (
        ([0, 1, 2], "5 pictures and 3 labels"),
        ([0, 1, 10, 3, 4], "a label of 10, where there are 10"),
    ):
        write_idx(raw / "train-labels-idx1-ubyte", np.array(wrong, np.uint8))
        with pytest.raises(RequestError, match="damaged") as error:
            data.load()
        assert words in message(error)


def test_cifar10(dataset, tmp_path, monkeypatch):
    write_cifar10(tmp_path, monkeypatch)
    data = dataset(source="cifar10", data_path=str(tmp_path))
    assert is_labels(data.load().labels, [0, 9, 1, 9, 2, 9, 3, 9, 4, 9])
    assert is_labels(data.load("test").labels, [5, 9]) and data.load().class_names[9] == "truck"


def test_names_are_torchvision_s_own():
    assert FACTS["fashion_mnist"].class_names == tuple(torchvision.datasets.FashionMNIST.classes)
    assert FACTS["flower102"].class_names == tuple(torchvision.datasets.Flowers102.classes)
    for name, facts in FACTS.items():
        assert len(set(facts.class_names)) == len(facts.class_names), name


@pytest.fixture
def flowers(dataset, tmp_path, monkeypatch):
    """Three flowers of classes 76, 0 and 101, without the file that says so; its content."""
    monkeypatch.setattr(datasets.downloads, "FLOWER_NUM", 3)
    write_flowers(tmp_path)
    scipy.io.savemat(tmp_path / "made.mat", {"labels": np.array([[77, 1, 102]], np.uint8)})
    content = (tmp_path / "made.mat").read_bytes()
    known = torchvision.datasets.Flowers102
    files = known._file_dict | {"label": ("imagelabels.mat", hashlib.md5(content).hexdigest())}
    monkeypatch.setattr(known, "_file_dict", files)
    return partial(dataset, source="flower102", data_path=str(tmp_path)), tmp_path / "flowers-102", content


def test_flowers_have_labels_where_their_file_is(flowers):
    data, folder, content = flowers
    assert data().load().labels is None and data().num_classes() == 102
    with pytest.raises(RequestError) as error:
        data().load(require_labels=True)
    assert all(word in message(error) for word in ("imagelabels.mat", "robots.ox.ac.uk", str(folder)))
    (folder / "imagelabels.mat").write_bytes(content)
    images, labels = data().load()[:2]
    assert is_labels(labels, [76, 0, 101]) and np.abs(images[:, 0, 4, 4].astype(int) - [60, 120, 180]).max() <= 1
    assert is_labels(data().load(require_labels=True).labels, [76, 0, 101])
    (folder / "imagelabels.mat").write_bytes(content + b"?")
    with pytest.raises(RequestError, match="imagelabels.mat is damaged"):
        data().load()


def test_flowers_labels_are_downloaded_where_they_are_required(flowers, monkeypatch):
    data, folder, content = flowers

    def fetch_from(url, path, md5):
        assert url.endswith("imagelabels.mat") and hashlib.md5(content).hexdigest() == md5
        Path(path).write_bytes(content)

    monkeypatch.setattr(datasets.downloads, "fetch_from", fetch_from)
    assert data(download=True).load().labels is None
    assert is_labels(data(download=True).load(require_labels=True).labels, [76, 0, 101])
    assert sorted(path.name for path in folder.iterdir()) == ["imagelabels.mat", "jpg"]


def test_flowers_without_scipy_have_no_labels(flowers, monkeypatch):
    data, folder, content = flowers
    (folder / "imagelabels.mat").write_bytes(content)
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert data().load().labels is None
    with pytest.raises(RequestError, match="pip install scipy") as error:
        data().load(require_labels=True)
    message(error)


# Folders


def fill(folder: Path) -> None:
    """Pictures of grey 40 in cat, of 80 in dog and of 120 below Zebra."""
    for name, grey in (("dog/b.png", 80), ("cat/a.png", 40), ("Zebra/deep/down/c.png", 120), ("dog/a.png", 80)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        solid(grey, mode="L").save(folder / name)


def test_a_subfolder_is_a_class(dataset, folder):
    fill(folder)
    (folder / "empty").mkdir()
    (folder / ".hidden").mkdir()
    solid(0).save(folder / ".hidden" / "a.png")
    data = dataset(class_from_folder=True)
    images, labels, names = data.load(require_labels=True)[:3]
    assert names == ("Zebra", "cat", "dog") == data.class_names() and data.num_classes() == 3 and data.count() == 4
    assert is_labels(labels, [0, 1, 2, 2]) and images[:, 0, 0, 0].tolist() == [120, 40, 80, 80]
    plain = dataset()
    assert plain.load().labels is None and plain.class_names() == () and plain.num_classes() == 0
    with pytest.raises(RequestError, match="class_from_folder to true"):
        plain.load(require_labels=True)


def test_names_of_classes_are_printable(dataset, folder):
    for name in (b"plain", b"no\nline", b"no\xfftext"):
        place = os.path.join(os.fsencode(folder), name)
        os.mkdir(place)
        solid(0).save(os.path.join(place, b"a.png"), format="PNG")
    assert dataset(class_from_folder=True).class_names() == ("no\\nline", "no\\udcfftext", "plain")


def test_a_picture_of_no_class_is_an_error(dataset, folder):
    fill(folder)
    solid(0).save(folder / "loose.png")
    data = dataset(class_from_folder=True)
    for request in (data.load, data.count, data.class_names):
        with pytest.raises(RequestError) as error:
            request()
        assert "loose.png" in message(error) and str(folder) in message(error)
    assert len(dataset().load().images) == 5
    with pytest.raises(RequestError, match="class_from_folder is for data.source: folder"):
        dataset(source="mnist_mini", data_path=None, class_from_folder=True).load()


def test_a_skipped_picture_takes_its_label_along(dataset, folder, monkeypatch):
    """A folder's number is the grey of its pictures; every third file is broken."""
    monkeypatch.setattr(datasets.build, "BLOCK_BYTES", 3 * 8 * 8 * 4)  # blocks of four
    for number in range(20):
        place = folder / f"class{number % 7}"
        place.mkdir(exist_ok=True)
        if number % 3 == 0:
            (place / f"{number}.png").write_bytes(b"?")
        else:
            solid(number % 7, mode="L").save(place / f"{number}.png")
    data = dataset(class_from_folder=True, skip_unreadable=True)
    for _ in range(2):  # as decoded, and as the cache has it
        images, labels, names = data.load()[:3]
        assert len(images) == len(labels) == 13 and len(names) == 7
        assert is_labels(labels, images[:, 0, 0, 0])


# The cache


def test_labels_and_pictures_are_one_file_and_no_other_is_taken_for_it(dataset, folder, tmp_path):
    fill(folder)
    plain, labelled = dataset(), dataset(class_from_folder=True)
    assert plain.load().labels is None and is_labels(labelled.load().labels, [0, 1, 2, 2])
    [path] = cache_files(tmp_path)
    whole = path.read_bytes()
    pictures_alone = np.lib.format.open_memmap(path, mode="r")
    end = pictures_alone.offset + pictures_alone.nbytes
    with open(tmp_path / "three.npy", "wb") as file:
        np.lib.format.write_array(file, np.arange(3))
    for content in (whole[:end], whole[:-1], whole[: end + 9], whole[:end] + (tmp_path / "three.npy").read_bytes()):
        path.write_bytes(content)
        assert is_labels(labelled.load().labels, [0, 1, 2, 2]) and path.read_bytes() == whole
    assert plain.load().labels is None and is_labels(labelled.load().labels, [0, 1, 2, 2])


def test_labels_follow_pictures_that_move_to_another_class(dataset, folder):
    fill(folder)
    data = dataset(class_from_folder=True)
    assert is_labels(data.load().labels, [0, 1, 2, 2])
    (folder / "dog/a.png").rename(folder / "cat/b.png")
    assert is_labels(data.load().labels, [0, 1, 1, 2])


def test_labels_come_out_of_gz_files(dataset, tmp_path, monkeypatch, no_network):
    raw, known = tmp_path / "MNIST" / "raw", torchvision.datasets.MNIST
    write_mnist(raw)
    resources = []
    for name, _ in known.resources:
        content = gzip.compress((raw / name.removesuffix(".gz")).read_bytes())
        (raw / name.removesuffix(".gz")).unlink()
        (raw / name).write_bytes(content)
        resources.append((name, hashlib.md5(content).hexdigest()))
    monkeypatch.setattr(known, "resources", resources)
    assert is_labels(dataset(source="mnist", data_path=str(tmp_path)).load("test").labels, range(3))
