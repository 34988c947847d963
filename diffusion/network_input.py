"""What a network is shown: x_t and t, or flow matching's x_u and its time, whatever the schedule and the objective are.

Flow matching's papers (Lipman et al. 2023, Eq. 23; Liu et al. 2023, Eq. 1), and the networks of others that follow them, show
x_u = (1 - u) x_0 + u noise = x_t / (signal + sigma) with u = sigma / (signal + sigma); see docs/flow.md. Samplers and losses
know x_t and t alone: the one is made of the other where the network is called.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion.gaussian import GaussianDiffusion
from diffusion.precision import like

Network = Callable[..., Tensor]


def time_dtype(diffusion: GaussianDiffusion) -> torch.dtype:
    """Of the times that the network is shown."""
    return torch.int64 if diffusion.network_input == "x_t" else torch.float32


def from_x_t(network: Network, diffusion: GaussianDiffusion) -> Network:
    """`network`, which is shown what `diffusion.network_input` says, as a function of (x_t, t[, y]).

    Of `x_u` the time is T u, (B,) float32, above 0 and at most T: that of diffusers' FlowMatchEulerDiscreteScheduler, and t + 1
    on the unshifted flow schedule. Self-conditioning's estimate, behind the channels of x_t, is shown as it is.
    """
    if diffusion.network_input == "x_t":
        return network

    def call(x_t: Tensor, t: Tensor, *labels: Tensor) -> Tensor:
        # Samplers say beside t that it is the same for all (see `diffusion.samplers`): then no GPU is waited for.
        alpha_bar = diffusion.alpha_bar(getattr(t, "number", t))
        sigma = (1 - alpha_bar) ** 0.5
        scale = 1 / (alpha_bar**0.5 + sigma)
        x, *estimate = x_t.chunk(2, dim=1) if diffusion.self_condition else [x_t]
        shown = torch.cat([x * like(scale, x), *estimate], dim=1)
        return network(shown, _times(diffusion.timestep_num * sigma * scale, x_t), *labels)

    return call


def _times(time: float | Tensor, x_t: Tensor) -> Tensor:
    """A float64 time, of all pictures or (B, 1, 1, 1), as (B,) float32 on the pictures' device."""
    if isinstance(time, float):
        return torch.full((len(x_t),), time, dtype=torch.float32, device=x_t.device)
    return time.flatten().to(torch.float32).to(x_t.device)
