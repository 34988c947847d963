"""The one place that turns uint8 pictures into the network's numbers, and back."""

import torch
from torch import Tensor


def to_float(pictures: Tensor) -> Tensor:
    """uint8 0 … 255 -> float32 in [-1, 1], any shape: x / 127.5 - 1."""
    assert pictures.dtype == torch.uint8, pictures.dtype
    return pictures.to(torch.float32).div_(127.5).sub_(1)


def to_uint8(pictures: Tensor) -> Tensor:
    """Floats in [-1, 1] -> uint8, any shape: the nearest of the 256 values, and the exact inverse of `to_float`.

    What lies outside [-1, 1] is clamped, infinities too. Raises ValueError where a value is NaN: the cast would make
    it a number that looks like a picture. That check waits for the device, as whatever looks at a picture must.
    """
    assert pictures.is_floating_point(), pictures.dtype
    levels = pictures.to(torch.float32).add(1).mul_(127.5).round_().clamp_(0, 255)
    if levels.isnan().any():
        raise ValueError(f"{int(levels.isnan().sum())} of {levels.numel()} values of these pictures are NaN")
    return levels.to(torch.uint8)
