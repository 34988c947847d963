"""Pictures of a drawing as one, enlarged for people: the finished ones, and the moments of their denoising."""

import torch
from torch import Tensor

from sampling.labels import ALL
from sampling.trained import Trained
from utils.pictures import grid, near_square, readable_scale

PROGRESS_COLUMNS = 16  # moments of a denoising that are shown


def final_sheet(trained: Trained, final: Tensor, seeds: range) -> Tensor:
    """The finished pictures (N, C, H, W) of the seeds as one: near-square, or a row a class where all are asked for."""
    scale = readable_scale(final)
    if trained.class_label != ALL:
        return grid(final, near_square(len(final)), scale=scale)
    labels = torch.tensor(trained.labels_of(seeds))
    columns = int(labels.bincount().max())
    rows = []
    for label in range(trained.num_classes):
        row = final[labels == label]
        rows.append(torch.cat([row, row.new_zeros(columns - len(row), *final.shape[1:])]))
    return grid(torch.cat(rows), columns, scale=scale, row_labels=trained.class_names)


def progress_frames(moments: list[Tensor]) -> list[Tensor]:
    """The `moments` of a denoising, (M, C, H, W) each, as the frames of a GIF: near-square."""
    columns, scale = near_square(len(moments[0])), readable_scale(moments[0])
    return [grid(moment, columns, scale=scale) for moment in moments]
