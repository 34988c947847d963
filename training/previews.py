"""Previews of a training: a sheet of drawn pictures, figures of them beside the data's, and warnings about those."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from datasets import to_float
from diffusion import GaussianDiffusion, Prediction, SampleInfo
from sampling.drawing import batches_of, draw
from sampling.network import Network
from utils.distributed import Ranks
from utils.pictures import grid, near_square, readable_scale

MEAN_OFF, STD_OFF = 0.15, 1.25  # of drawn pictures beside the data's: on [-1, 1], and as a ratio
CLIPPED_MORE = 0.3  # the share of x_0 that is clipped, above the share of black or white in the data
DATA_PICTURES = 2048  # looked at for the data's own figures


class ClippedShare:
    """A `sample` callback: how much of the predicted x_0 lay at or beyond the ends of [-1, 1], over all steps."""

    def __init__(self):
        self.total: Tensor | float = 0.0
        self.steps = 0

    def __call__(self, index: int, t: int, t_prev: int, x_t: Tensor, prediction: Prediction) -> None:
        self.total = self.total + (prediction.x_0.abs() >= 1).float().mean(dim=(1, 2, 3)).sum()
        self.steps += len(x_t)

    def sums(self) -> Tensor:
        """[the sum of the shares, their number], float64 on the CPU."""
        return torch.tensor([float(self.total), self.steps], dtype=torch.float64)


def draw_sheet(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    seeds: Sequence[int],
    images: np.ndarray,
    batch_size: int,
    ranks: Ranks,
    *,
    labels: Sequence[int] | None = None,
    num_classes: int = 0,
) -> tuple[Tensor, dict[str, float]]:
    """What `network` draws by now, pictures like the data's `images`, uint8 (N, C, H, W); the ranks share them out.

    A near-square grid of them, uint8 (C, ...), and the figures of them and of the data that `picture_warnings` takes.
    `labels` as in `draw`.
    """
    shape, clipped = images.shape[1:], ClippedShare()
    pictures = [torch.empty(0, *shape, dtype=torch.uint8)]
    for part in batches_of(range(len(seeds))[ranks.rows(len(seeds))], batch_size):
        rows = slice(part.start, part.stop)
        asked = {"labels": None if labels is None else labels[rows], "num_classes": num_classes}
        pictures.append(draw(network, diffusion, info, seeds[rows], shape, ranks.device, clipped, **asked))
    everyone = ranks.all_gather((torch.cat(pictures), clipped.sums()))
    drawn = torch.cat([pictures for pictures, _ in everyone])
    share, count = sum(sums for _, sums in everyone)
    figures = picture_figures(drawn, "drawn") | {"clipped": (share / count).item()} | data_figures(images)
    return grid(drawn, near_square(len(drawn)), scale=readable_scale(drawn)), figures


def picture_figures(pictures: Tensor | np.ndarray, prefix: str) -> dict[str, float]:
    """Mean and standard deviation of each channel, on [-1, 1]: uint8 (N, C, H, W) -> {prefix}_mean_0, {prefix}_std_0, ..."""
    values = to_float(torch.from_numpy(np.array(pictures))).transpose(0, 1).flatten(1)  # (C, N H W)
    figures = {f"{prefix}_mean_{channel}": row.mean().item() for channel, row in enumerate(values)}
    return figures | {f"{prefix}_std_{channel}": row.std().item() for channel, row in enumerate(values)}


def data_figures(images: np.ndarray) -> dict[str, float]:
    """`picture_figures` of the data, and the share of its values that are black or white, which no clipping changes.

    images: uint8 (N, C, H, W), of which at most 2,048, evenly spread, are looked at.
    """
    some = np.array(images[:: math.ceil(len(images) / DATA_PICTURES)])  # a copy: torch wants memory it could write to
    return picture_figures(some, "data") | {"data_clipped": float(((some == 0) | (some == 255)).mean())}


def picture_warnings(figures: dict[str, float]) -> list[str]:
    """What the drawn pictures have wrong beside the data, in words; `figures` holds `picture_figures` of both."""
    warnings, channels = [], sum(name.startswith("data_mean_") for name in figures)
    names = ["grey"] if channels == 1 else ["red", "green", "blue"]
    off = [figures[f"drawn_mean_{i}"] - figures[f"data_mean_{i}"] for i in range(channels)]
    if abs(sum(off)) / channels > MEAN_OFF:
        warnings.append(f"drawn pictures are {'lighter' if sum(off) > 0 else 'darker'} than the data")
    for name, value in zip(names, off):
        if abs(value - sum(off) / channels) > MEAN_OFF:
            warnings.append(f"drawn pictures are tinted: {'too much' if value > 0 else 'too little'} {name}")
    for i, name in enumerate(names):
        ratio = figures[f"drawn_std_{i}"] / max(figures[f"data_std_{i}"], 1e-6)
        if not 1 / STD_OFF <= ratio <= STD_OFF:
            what = "washed out" if ratio < 1 else "too contrasty"
            warnings.append(
                f"drawn pictures are {what}: the standard deviation of {name} is {ratio:.2f} times the data's"
            )
    if figures["clipped"] > figures["data_clipped"] + CLIPPED_MORE:
        warnings.append(f"{figures['clipped']:.0%} of x_0 is clipped while drawing: the network overshoots")
    return warnings
