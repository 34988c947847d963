"""The labels of a training's batches, and which of them are not shown."""

import numpy as np
import torch
from torch import Tensor

from utils.classes import Classes


def classes_of(labels: np.ndarray | None, names: tuple[str, ...]) -> Classes:
    """The classes of a data set: labels int64 (N,), or None where there are none."""
    if labels is None:
        return Classes()
    return Classes(names, tuple(np.bincount(labels, minlength=len(names)).tolist()))


def drop_labels(
    labels: Tensor, share: float, num_classes: int, generator: torch.Generator, *, batch_size: int, rows: slice
) -> Tensor:
    """`labels`, (R,) int64, each replaced with the null label, `num_classes`, with a chance of `share`.

    They are those of `rows` of a batch of `batch_size`, for all of which is decided. Ho and Salimans 2022, Alg. 1: so one
    network learns the conditional and the unconditional estimate.
    """
    kept = torch.rand(batch_size, generator=generator, device=labels.device)[rows] >= share
    return torch.where(kept, labels, num_classes)
