"""What can be said of pictures without any extractor, and with precision even of a few: their colours, edges and grain."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 512  # pictures at a time: the median takes nine times their room
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}


def appearance(pictures: Tensor) -> dict[str, float]:
    """Means over all pixels of uint8 pictures (N, C, H, W), with grey values from 0 to 1.

    grey, or red, green and blue: the mean of each channel (unlike the data's: a tint, or a wash of white). contrast: the
    standard deviation of all values. chroma, of colour pictures: the largest channel minus the smallest, 0 for greys.
    edges: the mean absolute difference of neighbouring pixels; blurred pictures have less. grain: the root mean square
    difference of a picture from its own 3x3 median, which noise and specks raise; so do lines of one or two pixels, and so the
    data's own is what to compare with.
    """
    parts = [_moments(part.float() / 255) * len(part) for part in pictures.split(CHUNK)]
    *channels, square, chroma, edges, grain = (sum(parts) / len(pictures)).tolist()
    figures = dict(zip(CHANNELS[len(channels)], channels))
    figures["contrast"] = math.sqrt(max(0.0, square - (sum(channels) / len(channels)) ** 2))
    if len(channels) == 3:
        figures["chroma"] = chroma
    return figures | {"edges": edges, "grain": math.sqrt(grain)}


def _moments(x: Tensor) -> Tensor:
    """Means over (N, C, H, W) in [0, 1]: of each channel, of the square, chroma, edges, and of grain's square; float64."""
    edges = (x.diff(dim=2).abs().mean() + x.diff(dim=3).abs().mean()) / 2
    chroma, grain = (x.amax(dim=1) - x.amin(dim=1)).mean(), (x - _median(x)).square().mean()
    means = x.double().mean(dim=(0, 2, 3))
    return torch.cat([means, torch.stack([x.double().square().mean(), chroma, edges, grain])])


def _median(x: Tensor) -> Tensor:
    """Of the 3x3 pixels round each one, the border repeated: (N, C, H, W)."""
    N, C, H, W = x.shape
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return torch.stack([padded[..., i : i + H, j : j + W] for i in range(3) for j in range(3)]).median(dim=0).values
