"""The range of the predicted x_0, while pictures are drawn."""

import torch
from torch import Tensor

from diffusion.precision import WITHOUT_FLOAT64

CLIPS = (True, False, "dynamic")

THRESHOLD_QUANTILE = 0.995  # dynamic thresholding (Saharia et al. 2022, App. D)


def clipped(x_0: Tensor, how: bool | str) -> Tensor:
    """x_0, (B, C, H, W), by one of `CLIPS`.

    True: clipped to [-1, 1]. "dynamic": each picture clipped to its own 99.5 % quantile s of |x_0|, if that is above 1, and
    divided by s (Saharia et al. 2022, Sec. 2.3). False: as it is.
    """
    if not how:
        return x_0
    return x_0.clamp(-1, 1) if how is True else _dynamic_threshold(x_0)


def _dynamic_threshold(x_0: Tensor) -> Tensor:
    """Each picture is clipped to its own quantile s of |x_0|, at least 1, and divided by it."""
    sizes = x_0.flatten(1).abs()
    if x_0.device.type in WITHOUT_FLOAT64:
        sizes = sizes.cpu()  # torch.quantile counts in float64
    s = torch.quantile(sizes, THRESHOLD_QUANTILE, dim=1).clamp(min=1).view(-1, 1, 1, 1).to(x_0.device)
    return x_0.clamp(-s, s) / s
