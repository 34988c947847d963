"""Tests marked cuda are skipped where there is no CUDA device; what several test files are given."""

import functools
import urllib.error
import urllib.request

import pytest
import torch

from datasets import ImageDataset


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def dataset(tmp_path):
    """ImageDataset with a cache of the test's own; folders of pictures are in tmp_path / "in"."""
    options = {"source": "folder", "data_path": str(tmp_path / "in"), "image_size": 8, "download": False}
    return functools.partial(ImageDataset, **options, cache_dir=str(tmp_path / "cache"))


@pytest.fixture
def load(dataset):
    """The pictures of such a data set: uint8 (N, C, H, W)."""
    return lambda split="train", **options: dataset(**options).load(split, progress=False).images


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(request, data=None, timeout=None):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.fixture(scope="session")
def extractor():
    from evaluation.extractor import load_extractor  # here: what it loads takes seconds

    return load_extractor("digits")


@pytest.fixture(scope="session")
def reference(extractor):
    from evaluation.reference import load_reference

    return load_reference(ImageDataset(source="mnist_mini", image_size=28, image_channel=1), "train", extractor)
