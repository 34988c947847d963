"""From noise to pictures: one flat function a sampler, and `sample`, which finds it by name.

Each walks a list of jumps (t, t_prev) and has the same arguments:

    network     x_t, t (an int) -> the network's output, in x_t's precision
    diffusion   GaussianDiffusion: reads the output (`predict`) and knows the posteriors
    x           the state, (B, C, H, W), at the first t of `pairs`
    pairs       the jumps, see `timestep_pairs`
    eta         DDIM's share of fresh noise, 0 to 1
    noise_like  x -> standard normal noise of its shape; called only where the spread is not zero
    callback    told of each step, before it is taken: (index, t, t_prev, x_t, prediction)
"""

from collections.abc import Callable

import torch
from torch import Tensor

from diffusion.gaussian import GaussianDiffusion, Prediction
from diffusion.sample_info import SampleInfo
from diffusion.schedules import timestep_pairs

Callback = Callable[[int, int, int, Tensor, Prediction], None]


def ddpm(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """DDPM Algorithm 2 (Ho et al. 2020), on the respaced chain of Improved DDPM (Nichol and Dhariwal 2021, Sec. 4).

    The mean and the spread of a step are those of its own jump, so few steps give clean pictures too. Ignores `eta`.
    """
    for index, (t, t_prev) in enumerate(pairs):
        prediction = diffusion.predict(network(x, t), x, t)
        callback(index, t, t_prev, x, prediction)
        mean, variance = diffusion.posterior(prediction.x_0, x, t, t_prev)
        x = mean + variance.sqrt() * noise_like(x) if t_prev >= 0 else mean
    return x


def ddim(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """DDIM Eq. 12 (Song et al. 2021), the spread of Eq. 16 scaled by `eta`: 0 is deterministic, 1 is DDPM."""
    for index, (t, t_prev) in enumerate(pairs):
        prediction = diffusion.predict(network(x, t), x, t)
        callback(index, t, t_prev, x, prediction)
        ab_t, ab_prev = diffusion.alpha_bar(t), diffusion.alpha_bar(t_prev)
        sigma = eta * ((1 - ab_prev) / (1 - ab_t) * (1 - ab_t / ab_prev)) ** 0.5
        x = ab_prev**0.5 * prediction.x_0 + (1 - ab_prev - sigma**2) ** 0.5 * prediction.noise
        if sigma > 0:
            x = x + sigma * noise_like(x)
    return x


SAMPLERS = {"DDPM": ddpm, "DDIM": ddim}


@torch.no_grad()
def sample(
    model: Callable[[Tensor, Tensor], Tensor],
    diffusion: GaussianDiffusion,
    x_T: Tensor,
    sample_info: SampleInfo,
    *,
    noise_like: Callable[[Tensor], Tensor] = torch.randn_like,
    callback: Callback | None = None,
    pairs: list[tuple[int, int]] | None = None,
) -> Tensor:
    """Draws pictures: x_T (standard normal, (B, C, H, W)) -> x_0, about [-1, 1], on x_T's device.

    `model` is called as model(x_t, t), t being (B,) int64; it may compute in any precision, the state stays in x_T's
    (float32 at least). `noise_like` supplies the fresh noise, and is called only where the spread is not zero.
    `callback(index, t, t_prev, x_t, prediction)` is told of each of the steps before it is taken. `pairs` replaces the
    jumps that `sample_info.steps` names; the first may begin below T-1, with x_T being noised only that far.

    ValueError if `sample_info` asks for more steps than the T of `diffusion`.
    """
    if pairs is None:
        pairs = timestep_pairs(diffusion.timestep_num, sample_info.steps)
    x = x_T if x_T.dtype == torch.float64 else x_T.float()

    def network(x_t: Tensor, t: int) -> Tensor:
        return model(x_t, torch.full((len(x_t),), t, device=x_t.device)).to(x_t.dtype)

    sampler = SAMPLERS[sample_info.method]
    return sampler(network, diffusion, x, pairs, sample_info.eta, noise_like, callback or _no_callback)


def _no_callback(index: int, t: int, t_prev: int, x_t: Tensor, prediction: Prediction) -> None:
    pass
