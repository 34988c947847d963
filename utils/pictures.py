"""Pictures to files: grids, rows and GIFs. Everything here is uint8, (C, H, W) a picture, on the CPU."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from utils.files import atomic_write

GAP = 2  # black pixels between pictures
READABLE = 56  # pixels of the shorter side of a picture that people look at
FONT_SIZE = 14
FRAME_MS, LAST_FRAME_MS = 150, 2000


def near_square(count: int) -> int:
    """The number of columns of a near-square grid of `count` pictures: as many as rows, or one more."""
    return math.ceil(math.sqrt(count))


def readable_scale(pictures: Tensor) -> int:
    """The whole factor by which pictures (..., H, W) are enlarged for people: the shorter side becomes 56 pixels or more."""
    return max(1, math.ceil(READABLE / min(pictures.shape[-2:])))


def enlarged(pictures: Tensor, scale: int) -> Tensor:
    """(..., H, W) -> (..., scale H, scale W), each pixel a square of its own value: nothing is smoothed."""
    return pictures.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)


def grid(pictures: Tensor, columns: int, *, scale: int = 1, row_labels: Sequence[str] = ()) -> Tensor:
    """(N, C, H, W) -> one picture (C, ...), row by row, `columns` wide, with thin black gaps. A short last row ends black.

    Each picture is enlarged by `scale`. `row_labels`, one a row, are written white on black at the left of each row.
    """
    pictures = enlarged(pictures, scale)
    N, C, H, W = pictures.shape
    rows = math.ceil(N / columns)
    sheet = pictures.new_zeros(C, GAP + rows * (H + GAP), GAP + columns * (W + GAP))
    for i, picture in enumerate(pictures):
        y, x = GAP + i // columns * (H + GAP), GAP + i % columns * (W + GAP)
        sheet[:, y : y + H, x : x + W] = picture
    if not row_labels:
        return sheet
    assert len(row_labels) == rows, (len(row_labels), rows)
    return torch.cat([_column_of_text(row_labels, H).expand(C, -1, -1), sheet], dim=2)


def _column_of_text(labels: Sequence[str], row_height: int) -> Tensor:
    """A strip beside a `grid` whose pictures are `row_height` high: uint8 (1, H, W), each label centred on its row."""
    font = ImageFont.load_default(FONT_SIZE)
    width = 2 * FONT_SIZE // 2 + math.ceil(max(font.getlength(label) for label in labels))
    strip = Image.new("L", (width, GAP + len(labels) * (row_height + GAP)), 0)
    pen = ImageDraw.Draw(strip)
    for row, label in enumerate(labels):
        middle = GAP + row * (row_height + GAP) + row_height / 2
        pen.text((width - FONT_SIZE // 2, middle), label, fill=255, font=font, anchor="rm")
    return torch.from_numpy(np.array(strip))[None]


def save_png(path: Path, picture: Tensor, texts: Mapping[str, str] | None = None) -> Path:
    """Writes one picture, grey or RGB by its channels, and in it the `texts`, each by its key; returns `path`."""
    with atomic_write(path) as temporary:
        write_png(temporary, picture, texts)
    return path


def write_png(file: Path | BinaryIO, picture: Tensor, texts: Mapping[str, str] | None = None) -> None:
    """As `save_png`, into an open file, or one that may be left half written."""
    chunks = PngInfo()
    for key, text in (texts or {}).items():
        chunks.add_itxt(key, text)
    _to_pil(picture).save(file, format="PNG", pnginfo=chunks)


def save_pngs(pictures: Iterable[tuple[Path, Tensor, Mapping[str, str] | None]]) -> None:
    """Writes several, each as `save_png` does: (path, uint8 (C, H, W), its texts)."""
    for path, picture, texts in pictures:
        save_png(path, picture, texts)


def read_png(path: Path) -> Tensor:
    """A picture that `save_png` wrote, grey or RGB: uint8 (C, H, W)."""
    array = np.array(Image.open(path))
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


def save_gif(path: Path, frames: list[Tensor]) -> Path:
    """Writes an endless GIF that rests on its last frame; returns `path`."""
    with atomic_write(path) as temporary:
        write_gif(temporary, frames)
    return path


def write_gif(file: Path | BinaryIO, frames: list[Tensor]) -> None:
    """As `save_gif`, into an open file, or one that may be left half written."""
    first, *rest = (_to_pil(frame) for frame in frames)
    durations = [FRAME_MS] * len(rest) + [LAST_FRAME_MS]
    first.save(file, format="GIF", save_all=True, append_images=rest, duration=durations, loop=0)


def _to_pil(picture: Tensor) -> Image.Image:
    assert picture.dtype == torch.uint8 and len(picture) in (1, 3), (picture.dtype, picture.shape)
    array = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
