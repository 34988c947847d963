"""Small pictures and files of pictures, as the tests of datasets/ need them."""

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import torch
import torchvision.datasets
from PIL import Image

CPU = torch.device("cpu")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def solid(color, size=(8, 8), mode="RGB"):
    return Image.new(mode, size, color)


def message(error) -> str:
    """The RequestError's text, which has to be one line."""
    text = str(error.value)
    assert "\n" not in text
    return text


def cache_files(tmp_path) -> list[Path]:
    """Everything in the cache folder, but for the lock of a killed build; nothing where there is no such folder."""
    return [path for path in (tmp_path / "cache").rglob("*") if path.suffix != ".lock"]


def write_idx(path: Path, array: np.ndarray) -> None:
    """The idx-ubyte format: a big-endian magic number that counts the dimensions, their sizes, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes())


def digits_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


def write_mnist(raw: Path) -> None:
    """Five digits to train and three to test, of classes 0, 1, 2, ..."""
    for seed, (name, count) in enumerate((("train", 5), ("t10k", 3))):
        write_idx(raw / f"{name}-images-idx3-ubyte", digits_of(seed, count))
        write_idx(raw / f"{name}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8))


def write_cifar10(root: Path, monkeypatch) -> Path:
    """Two pictures in each of data_batch_1 … 5 and test_batch, of classes 0 … 5 and 9; torchvision is told their checksums."""
    known = torchvision.datasets.CIFAR10
    folder = root / known.base_folder
    folder.mkdir(parents=True)
    sums = {}
    for seed, name in enumerate([f"data_batch_{number}" for number in range(1, 6)] + ["test_batch", "batches.meta"]):
        rows = np.random.default_rng(seed).integers(0, 256, (2, 3072), np.uint8)
        content = {"label_names": ["a"]} if name == "batches.meta" else {"data": rows, "labels": [seed, 9]}
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(known, "train_list", [[f"data_batch_{n}", sums[f"data_batch_{n}"]] for n in range(1, 6)])
    monkeypatch.setattr(known, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(known, "meta", {**known.meta, "md5": sums["batches.meta"]})
    return folder


def cifar_pixels(seeds) -> np.ndarray:
    rows = [np.random.default_rng(seed).integers(0, 256, (2, 3072), np.uint8) for seed in seeds]
    return np.concatenate(rows).reshape(-1, 3, 32, 32)


def write_flowers(root: Path) -> Path:
    """Three JPEGs; picture n is all of grey 60 n."""
    folder = root / "flowers-102" / "jpg"
    folder.mkdir(parents=True)
    for number in (3, 1, 2):
        solid(60 * number, (20, 12), "L").convert("RGB").save(folder / f"image_{number:05d}.jpg", quality=100)
    return folder
