"""Small pictures and files of pictures, as the tests of datasets/ need them."""

import struct
from pathlib import Path

import numpy as np
import torch
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
