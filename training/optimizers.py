"""The optimizers: Adam, and Muon for the inner matrices with Adam for the rest, as one object with one state."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from models import UNet

OPTIMIZERS = ("adam", "muon")
MOMENTUM = 0.95
# Keller Jordan 2024: a x + b x^3 + c x^5, five times, takes every singular value from 0.001 to 1 into about 0.7 ... 1.2.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class MuonWithAdam(torch.optim.Optimizer):
    """Muon (Keller Jordan 2024) on `matrices`, Adam (Kingma and Ba 2015) on `others`.

    Muon: Nesterov momentum of 0.95, whose matrix is replaced with the nearest one of singular values of about 1, times
    sqrt(max(1, rows / columns)). A convolution is a matrix of (C_out, C_in kh kw). The two groups have learning rates of a
    fixed ratio: see `set_learning_rate`.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        learning_rate: float,
        muon_learning_rate: float,
        betas: tuple[float, float],
    ):
        self.muon_ratio = muon_learning_rate / learning_rate
        self.adam = torch.optim.Adam(others, lr=learning_rate, betas=betas, fused=True)
        self.updates: Callable[..., Sequence[Tensor]] = muon_updates  # or the same as a CUDA graph
        super().__init__([self.adam.param_groups[0], {"params": matrices, "lr": muon_learning_rate}], {})

    @torch.no_grad()
    def step(self) -> None:
        """One update of both groups, from the parameters' gradients."""
        # One state and one list of groups, whoever replaced them: a load_state_dict makes new ones.
        self.adam.state, self.adam.param_groups = self.state, self.param_groups[:1]
        self.adam.step()
        group = self.param_groups[1]
        weights = [weight for weight in group["params"] if weight.grad is not None]
        if weights:
            torch._foreach_add_(weights, self.updates(*self._with_momentum(weights)), alpha=-group["lr"])

    def _with_momentum(self, weights: list[nn.Parameter]) -> list[Tensor]:
        """The gradients with momentum, a step ahead: like `weights`."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        gradients, momenta = zip(*((weight.grad, self.state[weight]["momentum"]) for weight in weights))
        torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
        return torch._foreach_lerp(gradients, momenta, MOMENTUM)


def muon_updates(*gradients: Tensor) -> list[Tensor]:
    """What Muon (Keller Jordan 2024) takes from each weight, times its learning rate: of the gradients' shapes and strides.

    gradients: with momentum, of the weights, (R, ...) each, which are taken as matrices of R rows.
    """
    matrices = [gradient.reshape(len(gradient), -1) for gradient in gradients]
    growth = [max(1, len(matrix) / matrix.shape[1]) ** 0.5 for matrix in matrices]
    updates = torch._foreach_mul(orthogonalized(matrices), growth)
    shaped = [update.reshape(gradient.shape) for update, gradient in zip(updates, gradients)]
    return [one if one.stride() == like.stride() else torch.empty_like(like).copy_(one) for one, like in zip(shaped, gradients)]


def orthogonalized(matrices: Sequence[Tensor]) -> list[Tensor]:
    """U V^T of each matrix U S V^T, about: (R, C) -> (R, C) with singular values of 0.7 to 1.2 (those near 0: less).

    Newton-Schulz iterations, X <- (a + b X X^T + c (X X^T)^2) X. All factors are polynomials in the first X X^T, so they are
    multiplied in its size, that of the shorter side, and X itself once at the end. Those of one size are worked together: a
    GPU takes longer to launch such a product than to compute it.
    """
    of_shape: dict[torch.Size, list[int]] = {}
    for place, matrix in enumerate(matrices):
        of_shape.setdefault(matrix.shape, []).append(place)
    stacks, of_side = {}, {}
    for shape, places in of_shape.items():
        stack = torch.stack([matrices[place] for place in places])  # (N, R, C)
        wide = stack.mT if shape[0] > shape[1] else stack
        stacks[shape] = wide / (wide.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
        of_side.setdefault(min(shape), []).append(shape)
    found = list(matrices)
    for shapes in of_side.values():
        grams = [stacks[shape] @ stacks[shape].mT for shape in shapes]  # (N, S, S), S the shorter side
        factors = _newton_schulz(torch.cat(grams)).split([len(gram) for gram in grams])
        for shape, factor in zip(shapes, factors):
            update = factor @ stacks[shape]
            for place, one in zip(of_shape[shape], update.mT if shape[0] > shape[1] else update):
                found[place] = one
    return found


def _newton_schulz(gram: Tensor) -> Tensor:
    """What all iterations together multiply X by, of its X X^T: (N, S, S) -> (N, S, S)."""
    a, b, c = NEWTON_SCHULZ
    product = None
    for _ in range(NEWTON_SCHULZ_STEPS):
        factor = b * gram + c * (gram @ gram)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor if product is None else factor @ product
        gram = factor @ gram @ factor
    return product


def inner_matrices(model: UNet) -> list[nn.Parameter]:
    """The weights of a network's linear layers and convolutions but for the first and the last, which meet pixels."""
    outer = {*model.down_blocks[0].modules(), *model.out.modules()}
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d) and layer not in outer]
    return [layer.weight for layer in layers]


def build_optimizer(
    name: str,
    model: UNet,
    *,
    learning_rate: float,
    muon_learning_rate: float,
    betas: tuple[float, float],
) -> torch.optim.Optimizer:
    """The optimizer `name`, one of OPTIMIZERS, of all of the model's parameters.

    muon: `inner_matrices` by Muon at `muon_learning_rate`; embeddings, norms, biases, and the layers that meet pixels by Adam.
    """
    if name == "adam":
        return torch.optim.Adam(model.parameters(), lr=learning_rate, betas=betas, fused=True)
    matrices = inner_matrices(model)
    inner = set(matrices)
    others = [parameter for parameter in model.parameters() if parameter not in inner]
    return MuonWithAdam(matrices, others, learning_rate, muon_learning_rate, betas)


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Adam's learning rate for the next step; Muon's follows at its ratio."""
    optimizer.param_groups[0]["lr"] = learning_rate
    if isinstance(optimizer, MuonWithAdam):
        optimizer.param_groups[1]["lr"] = learning_rate * optimizer.muon_ratio
