"""What can be said of pictures without any extractor, and with precision even of a few: their colours, edges and grain."""

import torch
import torch.nn.functional as F
from torch import Tensor

CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


def appearance(pictures: Tensor) -> dict[str, float]:
    """Means over all pixels of uint8 pictures (N, C, H, W), with grey values from 0 to 1.

    grey, or red, green and blue: the mean of each channel (beside the data's: a tint, or a wash of white). contrast: the
    standard deviation of all values. chroma, of colour pictures: the largest channel minus the smallest, 0 for greys.
    edges: the mean absolute difference of neighbouring pixels; blurred pictures have less. grain: the root mean square
    difference of a picture from its own 3x3 median, which noise and specks raise; so do lines of one or two pixels, and so the
    data's own is what to compare with.
    """
    x = pictures.float() / 255
    figures = {name: x[:, i].mean().item() for i, name in enumerate(CHANNELS[x.shape[1]])}
    figures["contrast"] = x.std().item()
    if x.shape[1] == 3:
        figures["chroma"] = (x.amax(dim=1) - x.amin(dim=1)).mean().item()
    steps = [x.diff(dim=2).abs().mean().item(), x.diff(dim=3).abs().mean().item()]
    figures["edges"] = sum(steps) / 2
    figures["grain"] = (x - _median(x)).square().mean().sqrt().item()
    return figures


def _median(x: Tensor) -> Tensor:
    """Of the 3x3 pixels round each one, the border repeated: (N, C, H, W)."""
    N, C, H, W = x.shape
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return torch.stack([padded[..., i : i + H, j : j + W] for i in range(3) for j in range(3)]).median(dim=0).values
