"""Networks that know the answer: exact predictors for data whose distribution is known in closed form."""

import torch
from torch import Tensor

from diffusion import GaussianDiffusion


class GaussianOracle:
    """The optimal network for pictures whose pixels are independent N(mean, std^2), for any objective.

    E[x_0 | x_t] = mean + signal std^2 / (signal^2 std^2 + sigma^2) (x_t - signal mean): the regression of one Gaussian on
    another. It says what the network should emit through `diffusion.target`, which is linear in x_0 and noise.
    """

    def __init__(self, diffusion: GaussianDiffusion, mean: float, std: float):
        self.diffusion, self.mean, self.std = diffusion, mean, std

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha_bar = self.diffusion.alpha_bar(t).to(x_t)  # (B, 1, 1, 1)
        signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        gain = signal * self.std**2 / (signal**2 * self.std**2 + sigma**2)
        x_0 = self.mean + gain * (x_t - signal * self.mean)
        return self.diffusion.target(x_0, t, (x_t - signal * x_0) / sigma)


class FiniteOracle:
    """The optimal network for a finite set of pictures: E[x_0 | x_t] is their average, weighted by a softmax."""

    def __init__(self, diffusion: GaussianDiffusion, members: Tensor):
        self.diffusion, self.members = diffusion, members  # (M, C, H, W)

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha_bar = self.diffusion.alpha_bar(t).to(x_t)  # (B, 1, 1, 1)
        signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        distance = (x_t[:, None] - signal[:, None] * self.members[None]).pow(2).flatten(2).sum(-1)  # (B, M)
        weight = (-distance / (2 * sigma.view(-1, 1) ** 2)).softmax(dim=1)
        x_0 = torch.einsum("bm,mchw->bchw", weight, self.members)
        return self.diffusion.target(x_0, t, (x_t - signal * x_0) / sigma)


class LabelledOracle:
    """The optimal network with classes: each class an oracle of its own, and one of all pictures for the null label."""

    def __init__(self, of_class: list, of_all):
        self.oracles = [*of_class, of_all]  # by label; the last is the null label's

    def __call__(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        y = torch.full_like(t, len(self.oracles) - 1) if y is None else y
        rows = [self.oracles[label](x_t[i : i + 1], t[i : i + 1]) for i, label in enumerate(y.tolist())]
        return torch.cat(rows)


class MixtureOracle:
    """The optimal network for pixels that are N(means[k], std^2), all of a picture of one k, each k alike often."""

    def __init__(self, diffusion: GaussianDiffusion, means: list[float], std: float):
        self.diffusion, self.means, self.std = diffusion, means, std

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha_bar = self.diffusion.alpha_bar(t).to(x_t)  # (B, 1, 1, 1)
        signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        variance = signal**2 * self.std**2 + sigma**2  # of x_t within a member of the mixture
        estimates, scores = [], []
        for mean in self.means:
            estimates.append(mean + signal * self.std**2 / variance * (x_t - signal * mean))
            scores.append(-((x_t - signal * mean) ** 2 / (2 * variance)).flatten(1).sum(1))
        weights = torch.stack(scores).softmax(dim=0)[..., None, None, None]  # (K, B, 1, 1, 1)
        x_0 = (weights * torch.stack(estimates)).sum(dim=0)
        return self.diffusion.target(x_0, t, (x_t - signal * x_0) / sigma)
