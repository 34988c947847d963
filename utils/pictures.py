"""Pictures to files: grids, rows and GIFs. Everything here is uint8, (C, H, W) a picture, on the CPU."""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.files import written_whole

GAP = 2  # black pixels between pictures
FRAME_MS, LAST_FRAME_MS = 150, 2000


def near_square(count: int) -> int:
    """The number of columns of a near-square grid of `count` pictures: as many as rows, or one more."""
    return math.ceil(math.sqrt(count))


def grid(pictures: Tensor, columns: int) -> Tensor:
    """(N, C, H, W) -> one picture (C, ...), row by row, `columns` wide, with thin black gaps. A short last row ends black."""
    N, C, H, W = pictures.shape
    rows = math.ceil(N / columns)
    sheet = pictures.new_zeros(C, GAP + rows * (H + GAP), GAP + columns * (W + GAP))
    for i, picture in enumerate(pictures):
        y, x = GAP + i // columns * (H + GAP), GAP + i % columns * (W + GAP)
        sheet[:, y : y + H, x : x + W] = picture
    return sheet


def save_png(path: Path, picture: Tensor) -> Path:
    """Writes one picture, grey or RGB by its channels; returns `path`."""
    with written_whole(path) as temporary:
        _to_pil(picture).save(temporary, format="PNG")
    return path


class PictureWriter:
    """Writes pictures in a thread, while the next ones are drawn: a context, which ends when all are on the disk.

    What went wrong with a batch is raised when the next is handed over, or at the end; a batch waits for the one before.
    """

    def __enter__(self) -> "PictureWriter":
        self._thread, self._written = ThreadPoolExecutor(1, thread_name_prefix="pictures"), None
        return self

    def write(self, pictures: Iterable[tuple[Path, Tensor]]) -> None:
        """Sees to it that each (path, uint8 (C, H, W)) will be a PNG."""
        self._wait()
        self._written = self._thread.submit(lambda batch: [save_png(*each) for each in batch], list(pictures))

    def __exit__(self, kind, error, trace) -> None:
        self._thread.shutdown()
        if kind is None:
            self._wait()

    def _wait(self) -> None:
        if self._written is not None:
            self._written.result()


def read_png(path: Path) -> Tensor:
    """A picture that `save_png` wrote, grey or RGB: uint8 (C, H, W)."""
    array = np.array(Image.open(path))
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


def save_gif(path: Path, frames: list[Tensor]) -> Path:
    """Writes an endless GIF that rests on its last frame; returns `path`."""
    first, *rest = (_to_pil(frame) for frame in frames)
    durations = [FRAME_MS] * len(rest) + [LAST_FRAME_MS]
    with written_whole(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0)
    return path


def _to_pil(picture: Tensor) -> Image.Image:
    assert picture.dtype == torch.uint8 and len(picture) in (1, 3), (picture.dtype, picture.shape)
    array = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
