"""Torchvision's data sets, on small files that the tests write in each set's own format, and their downloads."""

import functools
import gzip
import hashlib
import http.server
import tarfile
import threading

import numpy as np
import pytest
import torchvision.datasets

import datasets.decode
import datasets.decoding
import datasets.downloads
from datasets import ImageDataset
from tests.pictures import cifar_pixels, digits_of, message, write_cifar10, write_flowers, write_mnist
from utils.errors import RequestError

# Torchvision's sets


@pytest.mark.parametrize("source, name", [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files(load, tmp_path, source, name):
    write_mnist(tmp_path / name / "raw")
    grey = functools.partial(load, source=source, data_path=str(tmp_path), image_size=28, image_channel=1)
    ImageDataset(source, str(tmp_path), download=False).count()
    assert np.array_equal(grey()[:, 0], digits_of(0, 5))
    assert np.array_equal(grey(split="test")[:, 0], digits_of(1, 3))
    assert np.array_equal(grey(image_channel=3), digits_of(0, 5)[:, None].repeat(3, axis=1))
    assert grey(image_size=32).shape == (5, 1, 32, 32)
    with pytest.raises(RequestError, match="'train' and 'test'"):
        grey(split="val")
    path = tmp_path / name / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RequestError) as error:
        grey()
    assert "damaged" in message(error) and str(path.parent) in message(error)


def test_cifar10(load, tmp_path, monkeypatch):
    folder = write_cifar10(tmp_path, monkeypatch)
    color = functools.partial(load, source="cifar10", data_path=str(tmp_path), image_size=32)
    assert np.array_equal(color(), cifar_pixels(range(5)))
    assert np.array_equal(color(split="test"), cifar_pixels([5]))
    assert color(image_channel=1).shape == (10, 1, 32, 32)
    (folder / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(RequestError) as error:
        color()
    assert all(word in message(error) for word in ("data_batch_3", str(folder), torchvision.datasets.CIFAR10.url))


def test_flowers_are_every_picture_in_the_order_of_their_numbers(load, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.downloads, "FLOWER_NUM", 3)
    folder = write_flowers(tmp_path)
    flowers = functools.partial(load, source="flower102", data_path=str(tmp_path))
    assert np.abs(flowers()[:, 0, 4, 4].astype(int) - [60, 120, 180]).max() <= 1
    with pytest.raises(RequestError, match="'test' split"):
        flowers(split="test")
    (folder / "image_00002.jpg").unlink()
    with pytest.raises(RequestError) as error:
        flowers()
    assert all(word in message(error) for word in ("image_00002.jpg", str(folder), "102flowers.tgz", "robots.ox.ac.uk"))


MISSING = [  # source, a file, its place below the root, its URL
    ("mnist", "train-images-idx3-ubyte", "MNIST/raw", "https://ossci-datasets.s3.amazonaws.com/mnist/train-images"),
    ("fashion_mnist", "t10k-images-idx3-ubyte", "FashionMNIST/raw", "http://fashion-mnist.s3-website.eu-central-1"),
    ("cifar10", "data_batch_1", "cifar-10-batches-py", "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"),
    ("flower102", "image_00001.jpg", "flowers-102/jpg", "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flower"),
]


@pytest.mark.parametrize("source, file, place, url", MISSING)
@pytest.mark.parametrize("download", [False, True])
def test_missing_files_are_named_with_place_and_url(load, tmp_path, no_network, source, file, place, url, download):
    root = tmp_path / "data"
    with pytest.raises(RequestError) as error:
        load(source=source, data_path=str(root), download=download)
    text = message(error)
    assert file in text and str(root / place) in text and url in text
    assert ("no route to host" in text) == download and ("set data.download" in text) != download
    assert list(root.rglob("*")) == []  # no half files
    if download:
        ImageDataset(source, str(root)).count()
    else:
        assert not root.exists()
        with pytest.raises(RequestError):
            ImageDataset(source, str(root), download=False).count()


def test_data_path_none_is_the_data_folder(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError) as error:
        load(source="mnist", data_path=None)
    assert str(tmp_path / "data" / "MNIST" / "raw") in message(error)


def test_archives_put_there_by_hand_are_unpacked(load, tmp_path, monkeypatch, no_network):
    """What the message about missing files asks for is enough, without a network and with download off."""
    raw, known = tmp_path / "MNIST" / "raw", torchvision.datasets.MNIST
    write_mnist(raw)
    resources = []
    for name, _ in known.resources:
        path = raw / name.removesuffix(".gz")
        (raw / name).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        resources.append((name, hashlib.md5((raw / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(known, "resources", resources)
    ImageDataset("mnist", str(tmp_path), download=False).count()
    assert not list(raw.glob("*ubyte"))  # checking changes nothing
    images = load(source="mnist", data_path=str(tmp_path), image_size=28, image_channel=1)
    assert np.array_equal(images[:, 0], digits_of(0, 5))


@pytest.fixture
def server(tmp_path):
    """The URL of a web server on this machine that serves tmp_path / "www"."""
    (tmp_path / "www").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_download(load, tmp_path, monkeypatch, server):
    """From a server: a file with the wrong checksum leaves nothing behind, the right one is unpacked in its place."""
    known, root = torchvision.datasets.CIFAR10, tmp_path / "data"
    write_cifar10(tmp_path / "made", monkeypatch)
    archive = tmp_path / "www" / known.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / known.base_folder, known.base_folder)
    monkeypatch.setattr(known, "url", f"{server}/{known.filename}")
    color = functools.partial(load, source="cifar10", data_path=str(root), image_size=32)
    with pytest.raises(RequestError) as error:  # torchvision's own checksum, not this file's
        color(download=True)
    assert "corrupted" in message(error)
    assert not root.exists()
    monkeypatch.setattr(known, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert np.array_equal(color(download=True), cifar_pixels(range(5)))
    assert [path.name for path in root.iterdir()] == [known.base_folder]
    archive.unlink()
    assert len(color(download=True)) == 10  # all there: nothing to ask the server for
