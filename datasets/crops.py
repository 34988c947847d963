"""Pictures of different sizes in an array of one shape, and crops of them at random places.

Each picture has a slot, a row of bytes: its height and width (two bytes each, the higher first), then, channel by channel,
room for the pixels of the largest, of which it takes the first height x width.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.shaping import HEAD
from utils.files import atomic_write, exclusive
from utils.seeds import generator

CHUNK_BYTES = 2**26  # of slots that are cropped at once


def draw_places(count: int, source: torch.Generator) -> Tensor:
    """From which the places of `count` crops follow, whatever the pictures' sizes: int64 (count, 2), on the CPU."""
    return torch.randint(2**31, (count, 2), generator=source)


def crop(slots: Tensor, places: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """One crop of each slot, uint8 (R, HEAD + C * room) -> (R, C, H, W), on its device; none is smaller than `shape`.

    places: of `draw_places`, (R, 2): each place of a crop in a picture is as likely as another, to 1 part in a million.
    """
    channels, height, width = shape
    high, low = slots[:, :HEAD].long().unflatten(1, (2, 2)).unbind(dim=2)
    size = 256 * high + low  # (R, 2): height and width of the pictures
    room = size - torch.tensor([height, width], device=slots.device) + 1
    top, left = (places % room).unbind(dim=1)
    rows = top[:, None] + torch.arange(height, device=slots.device)  # (R, H)
    columns = left[:, None] + torch.arange(width, device=slots.device)  # (R, W)
    index = (rows[:, :, None] * size[:, 1, None, None] + columns[:, None, :]).flatten(1)  # (R, H W)
    pixels = slots[:, HEAD:].unflatten(1, (channels, -1))  # (R, C, room)
    return pixels.gather(2, index[:, None].expand(-1, channels, -1)).unflatten(2, (height, width))


def cropped_once(slots: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """One crop of each picture, always the same: uint8 (N, C, H, W), a read-only memory map of a file beside the slots'.

    slots: uint8 (N, HEAD + C * room), mapped from a file. Raises RequestError where the file cannot be written.
    """
    path = Path(slots.filename)
    path = path.with_name(f"{path.stem}-crops.npy")
    found = _mapped(path, (len(slots), *shape))
    if found is None:
        with exclusive(os.path.join(path.parent, f".{path.stem}.lock")):
            if _mapped(path, (len(slots), *shape)) is None:
                _write_crops(path, slots, shape)
        found = _mapped(path, (len(slots), *shape))
    assert found is not None, path
    return found


def _write_crops(path: Path, slots: np.ndarray, shape: tuple[int, int, int]) -> None:
    places = draw_places(len(slots), generator("cpu", "crop of the set"))
    step = max(1, CHUNK_BYTES // slots[0].nbytes)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(slots), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(slots), step):
            part = torch.from_numpy(np.array(slots[start : start + step]))
            file.write(crop(part, places[start : start + step], shape).numpy())


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in the file; None where it is missing, is not whole, or is of another shape."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, OSError, ValueError):
        return None
    return array if array.dtype == np.uint8 and array.shape == shape else None
