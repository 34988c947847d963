"""Why a DDPM of few steps is often noise: the posterior of a single step, taken at strided times."""

import torch
from torch import Tensor

from diffusion import GaussianDiffusion


@torch.no_grad()
def wrong_ddpm(network, diffusion: GaussianDiffusion, x: Tensor, steps: int, noise_like) -> Tensor:
    """DDPM Algorithm 2 as it must not be strided: the mean and variance are those of t -> t - 1, yet x is then taken for
    x_{t_prev}. A step removes 1 step's noise where it should remove T / S, and the rest stays. (B, C, H, W) -> the same."""
    for t, t_prev in diffusion.timestep_pairs(steps):
        output = network(x, torch.full((len(x),), t, device=x.device))
        mean, _ = diffusion.posterior(diffusion.predict(output, x, t).x_0, x, t, t - 1)
        x = mean if t_prev < 0 else mean + (0.5 * diffusion.log_variance(output, t, t - 1)).exp() * noise_like(x)
    return x
