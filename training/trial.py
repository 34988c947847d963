"""A step of nothing, by which it is seen whether a compiled or captured network can be trained."""

import torch

from models import UNet
from utils.precision import at_precision


def trial_step(
    model: UNet,
    precision: str,
    device: torch.device,
    pictures: int,
    batch_size: int,
    size: tuple[int, int],
    time_dtype: torch.dtype = torch.int64,
) -> None:
    """Calls `model` forwards and backwards on `pictures` black pictures of `size`, (height, width), as many of a batch as the
    training will give it at a time, and times of the type that it will give; changes nothing.

    Backward passes are compiled, too, and may fail where the forward pass did not.
    """
    channels = model.down_blocks[0][0].in_channels // model.patch_size**2
    x_t = torch.zeros(pictures, channels, *size, device=device)
    t, y = (torch.zeros(pictures, dtype=dtype, device=device) for dtype in (time_dtype, torch.int64))
    model.part_of_batch(0, batch_size)
    output = at_precision(model, precision, device)(x_t, t, *([y] if model.num_classes else []))
    torch.autograd.grad(output.sum(), list(model.parameters()), allow_unused=True)
