"""How far an estimate is from its target, pixel by pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor

LOSS_TYPES = ("l1", "l2", "huber")
HUBER_C = 0.1  # pseudo-Huber: quadratic below about this distance, linear above


def distance(estimate: Tensor, target: Tensor, loss_type: str) -> Tensor:
    """The distance of each pixel. huber: sqrt(d^2 + c^2) - c with c = 0.1."""
    if loss_type == "huber":
        return ((estimate - target).square() + HUBER_C**2).sqrt() - HUBER_C
    return {"l1": F.l1_loss, "l2": F.mse_loss}[loss_type](estimate, target, reduction="none")


def without_overshoot(estimate: Tensor, x_0: Tensor, clipped_above: float) -> Tensor:
    """`estimate` of x_0, and x_0 itself where the estimate lies beyond an end of [-1, 1] at which x_0 is.

    There it is clipped while drawing, so it is no error, and has no gradient: a network that need not stop at black and
    white learns to be sure of them. An x_0 from `clipped_above` on counts as white.
    """
    below = (x_0 <= -1) & (estimate < x_0)
    above = (x_0 >= clipped_above) & (estimate > x_0)
    return torch.where(below | above, x_0, estimate)
