"""The exponential moving average of the weights: what is drawn from."""

import copy

import torch
from torch import nn


class EMA:
    """A second copy of `model` whose weights follow it: average = d * average + (1 - d) * weights, once a step.

    The decay d of update k (k = 0, 1, ...) is min(decay, (1 + k) / (10 + k)), as TensorFlow's moving average has it: a short
    run is not averaged with its random beginning. decay = 0 makes the copy follow exactly.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, k: int) -> None:
        """Takes the weights of `model` in, after its optimizer's step k."""
        decay = min(self.decay, (1 + k) / (10 + k))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)
