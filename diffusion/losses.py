"""How far an estimate is from its target."""

import torch
import torch.nn.functional as F
from torch import Tensor

LOSS_TYPES = ("l1", "l2", "huber", "picture_huber")
HUBER_C = 0.1  # pseudo-Huber: quadratic below about this distance, linear above
PICTURE_HUBER_C = 0.00054  # the same, of a root mean square over all pixels (Song and Dhariwal 2023, Sec. 3.3)


def distance(estimate: Tensor, target: Tensor, loss_type: str) -> Tensor:
    """The distance of each picture, (B, C, H, W) -> (B,), a mean over its pixels' distances d.

    l1: of |d|; l2: of d^2; huber: of sqrt(d^2 + c^2) - c with c = 0.1. picture_huber: sqrt(m + c^2) - c of the mean m of d^2,
    with c = 0.00054: Song and Dhariwal 2023, Sec. 3.3, over the root of the number of values. A picture with a small error, as
    at little noise, counts there as much as one with a large error.
    """
    if loss_type == "picture_huber":
        mean_square = (estimate - target).square().flatten(1).mean(dim=1)
        return (mean_square + PICTURE_HUBER_C**2).sqrt() - PICTURE_HUBER_C
    if loss_type == "huber":
        of_pixels = ((estimate - target).square() + HUBER_C**2).sqrt() - HUBER_C
    else:
        of_pixels = {"l1": F.l1_loss, "l2": F.mse_loss}[loss_type](estimate, target, reduction="none")
    return of_pixels.flatten(1).mean(dim=1)


def without_overshoot(estimate: Tensor, x_0: Tensor, clipped_above: float) -> Tensor:
    """`estimate` of x_0, and x_0 itself where the estimate lies beyond an end of [-1, 1] at which x_0 is.

    There it is clipped while drawing, so it is no error, and has no gradient: a network that need not stop at black and
    white learns to be sure of them. An x_0 from `clipped_above` on counts as white.
    """
    below = (x_0 <= -1) & (estimate < x_0)
    above = (x_0 >= clipped_above) & (estimate > x_0)
    return torch.where(below | above, x_0, estimate)
