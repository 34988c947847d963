"""Self-conditioning: the network is also shown its own last estimate of x_0 (Chen et al. 2022, "Analog Bits", Sec. 3.2).

Such a network takes 2 C channels: x_t, and the estimate or zeros. These wrap it into a function of (x_t, t) alone, which is
what `training_losses` and `sample` call.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion.gaussian import GaussianDiffusion

Network = Callable[[Tensor, Tensor], Tensor]


def for_training(network: Network, diffusion: GaussianDiffusion, with_estimate: bool) -> Network:
    """`network` as `training_losses` calls it: shown zeros, or, `with_estimate`, what it estimates when shown zeros.

    The paper's Algorithm 1 shows an estimate to half of the batches; no gradient flows through it.
    """
    if not diffusion.self_condition:
        return network

    def call(x_t: Tensor, t: Tensor) -> Tensor:
        shown = torch.zeros_like(x_t)
        if with_estimate:
            with torch.no_grad():
                shown = _estimate(network(torch.cat([x_t, shown], dim=1), t), diffusion, x_t, t)
        return network(torch.cat([x_t, shown], dim=1), t)

    return call


def for_sampling(network: Network, diffusion: GaussianDiffusion) -> Network:
    """`network` as `sample` calls it, for one call of `sample`: shown the x_0 of the call before, at first zeros."""
    if not diffusion.self_condition:
        return network
    shown: Tensor | None = None

    def call(x_t: Tensor, t: Tensor) -> Tensor:
        nonlocal shown
        output = network(torch.cat([x_t, torch.zeros_like(x_t) if shown is None else shown], dim=1), t)
        shown = _estimate(output, diffusion, x_t, t)
        return output

    return call


def _estimate(output: Tensor, diffusion: GaussianDiffusion, x_t: Tensor, t: Tensor) -> Tensor:
    """The estimate that is shown: within the range of pictures also where `clip_denoised` leaves the prediction as it is.

    Read from predicted noise it can be thousands at a high t, and a network is drawn from with other clipping than it was
    trained with.
    """
    return diffusion.predict(output.to(x_t.dtype), x_t, t).x_0.clamp(-1, 1)
