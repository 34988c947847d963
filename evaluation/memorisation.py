"""How near drawn pictures come to training pictures, compared with how near held-out ones do."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from evaluation.extractor import Features, as_tensor
from evaluation.reference import Reference
from utils.plots import save_plot

QUANTILES = (0.01, 0.05, 0.5)
SHOWN = 8  # pictures of each kind
MOST = 5000  # drawn, and held-out, pictures whose neighbours are looked for: each is compared with every training one
CHUNK = 500  # pictures whose distances to all others are held at once


class Nearest(NamedTuple):
    """For each picture, the distance to its nearest real one and which that is: (N,), (N,)."""

    distance: Tensor
    index: Tensor


class Memorisation(NamedTuple):
    """The nearest training pictures of drawn and of held-out ones: by space, "pixels" and "features"."""

    drawn: dict[str, Nearest]
    held_out: dict[str, Nearest]

    def figures(self) -> dict[str, dict]:
        """By space: the quantiles of both distances, and the share of drawn pictures nearer than 1 % of held-out ones."""
        found = {}
        for space, drawn in self.drawn.items():
            held_out = self.held_out[space].distance
            nearer = (drawn.distance < held_out.quantile(0.01)).double().mean().item()
            quantiles = {
                name: {f"{q:.0%}": distance.quantile(q).item() for q in QUANTILES}
                for name, distance in (("drawn", drawn.distance), ("held_out", held_out))
            }
            found[space] = {**quantiles, "drawn_nearer_than_1%_of_held_out": nearer}
        return found


def memorisation(pictures: Tensor, features: Features, reference: Reference) -> Memorisation:
    """Of drawn `pictures` (N, C, H, W) and their `features`, where `reference.real` is the training split.

    Looks at the first MOST of them, and at as many of those held out, chosen at random.
    The distance in pixels is the root mean square difference, of 0 to 1; in features it is Euclidean. Where no split is
    held out, one half of the training pictures stands for it, and is compared with the other half.
    """
    held_out, held_out_reference = reference.held_out, reference.held_out_reference
    if len(held_out.pictures) > MOST:
        held_out = held_out.part(held_out.name, np.random.default_rng(0).permutation(len(held_out.pictures))[:MOST])
    return Memorisation(
        {
            "pixels": nearest_pictures(pictures[:MOST], reference.real.pictures),
            "features": nearest(features.features[:MOST], reference.real.features.features),
        },
        {
            "pixels": nearest_pictures(held_out.pictures, held_out_reference.pictures),
            "features": nearest(held_out.features.features, held_out_reference.features.features),
        },
    )


def nearest(queries: Tensor, others: Tensor) -> Nearest:
    """The Euclidean nearest of `others` (M, D) for each of `queries` (N, D)."""
    index = torch.cat([torch.cdist(part, others).argmin(dim=1) for part in queries.split(CHUNK)])
    # cdist multiplies matrices, and so takes a picture for a little away from its own copy.
    return Nearest((queries - others[index]).norm(dim=1), index)


def nearest_pictures(queries: Tensor | np.ndarray, others: np.ndarray) -> Nearest:
    """The nearest of uint8 `others` for each of `queries`, both (..., C, H, W), by root mean square difference of 0 to 1.

    Goes through `others` in parts, as floats of all of them may not fit into memory.
    """
    rows = _rows(queries)
    least, index = torch.full((len(rows),), torch.inf), torch.zeros(len(rows), dtype=torch.long)
    for start in range(0, len(others), CHUNK):
        distance, found = torch.cdist(rows, _rows(others[start : start + CHUNK])).min(dim=1)
        index = torch.where(distance < least, found + start, index)
        least = torch.minimum(distance, least)
    return Nearest((rows - _rows(others[index.numpy()])).square().mean(dim=1).sqrt(), index)


def _rows(pictures: Tensor | np.ndarray) -> Tensor:
    """uint8 (N, C, H, W) -> float32 (N, C H W) in [0, 1]."""
    return as_tensor(pictures).flatten(1).float() / 255


def save_memorisation(
    path: Path, title: str, pictures: Tensor, found: Memorisation, training: np.ndarray, texts: Mapping[str, str]
) -> Path:
    """The drawn pictures nearest to a training picture, and the first ones, above their neighbours; the distances below.

    `texts`: see `save_plot`.
    """
    suspects = found.drawn["pixels"].distance.argsort()[:SHOWN].tolist()
    columns = suspects + list(range(min(SHOWN, len(pictures))))
    figure = Figure(figsize=(14, 8.5), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.25, 1))
    rows = ("drawn", "nearest\nin pixels", "nearest\nin features")
    axes = upper.subplots(3, len(columns), squeeze=False)
    for column, i in enumerate(columns):
        neighbours = [found.drawn[space].index[i].item() for space in found.drawn]
        distances = [found.drawn[space].distance[i].item() for space in found.drawn]
        shown = [pictures[i].numpy(), *(training[j] for j in neighbours)]
        captions = [f"{i}", *(f"{distance:.3g}" for distance in distances)]
        for row, (picture, caption) in enumerate(zip(shown, captions)):
            panel = axes[row, column]
            panel.imshow(picture.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255)
            panel.set(xticks=[], yticks=[])
            panel.set_title(caption, fontsize=8, pad=2)
            if column == 0:
                panel.set_ylabel(rows[row])
    upper.suptitle(
        f"left: the {len(suspects)} nearest to a training picture (in pixels); right: the first {len(columns) - len(suspects)} "
        "drawn; above each: its number, or the distance",
        fontsize=9,
    )
    for panel, space in zip(lower.subplots(1, len(found.drawn)), found.drawn):
        sets = {"drawn": found.drawn[space].distance, "held out": found.held_out[space].distance}
        edges = np.linspace(0, max(distance.max().item() for distance in sets.values()), 50)
        for name, distance in sets.items():
            panel.hist(distance.numpy(), bins=edges, density=True, alpha=0.5, label=f"{name} ({len(distance):,})")
        panel.set(xlabel=f"distance to the nearest training picture, in {space}", ylabel="density")
        panel.legend()
    return save_plot(path, figure, texts)
