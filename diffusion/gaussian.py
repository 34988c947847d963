"""The Gaussian forward process q, its posteriors, and what a network's output says of them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffusion.schedules import make_betas

OBJECTIVES = ("pred_noise", "pred_v")
LOSS_TYPES = ("l1", "l2")
VARIANCES = ("fixed_small", "fixed_large")


class Prediction(NamedTuple):
    """What the network's output at (x_t, t) says, whatever it was trained to emit: both (B, C, H, W)."""

    x_0: Tensor
    noise: Tensor


class GaussianDiffusion(nn.Module):
    """The diffusion process of DDPM (Ho et al. 2020) over T steps, without the network.

    Wherever a method takes `t`, it is an int (all pictures at the same step; the coefficients are then plain floats and
    nothing waits for the device) or a (B,) integer tensor on the pictures' device. `t = 0` means one step of noise,
    `t_prev = -1` means clean. The tables are float64 and are not part of the state_dict.

    Args:
        betas: (T,) variances of the single steps, each in (0, 1); see `make_betas`.
        objective: what the network emits. `pred_noise`: the noise (DDPM). `pred_v`: v = sqrt(alpha_bar) noise
            - sqrt(1 - alpha_bar) x_0 (Salimans and Ho 2022, Sec. 4 and App. D).
        loss_type: `l1` or `l2`, between the network's output and `target`.
        clip_denoised: clip the predicted x_0 to [-1, 1], and derive the noise again from the clipped x_0.
        variance: the spread of a DDPM step. `fixed_small` is the posterior's own (beta tilde), `fixed_large` is the
            beta of the jump (DDPM, Sec. 3.2).
    """

    def __init__(
        self,
        betas: Tensor,
        objective: str = "pred_noise",
        loss_type: str = "l1",
        clip_denoised: bool = True,
        variance: str = "fixed_small",
    ):
        super().__init__()
        for name, value, known in (
            ("objective", objective, OBJECTIVES),
            ("loss_type", loss_type, LOSS_TYPES),
            ("variance", variance, VARIANCES),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r} is not known; the known ones are {', '.join(known)}")
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or not ((betas > 0) & (betas < 1)).all():
            raise ValueError(f"betas must be one row of numbers between 0 and 1, not {tuple(betas.shape)} {betas}")
        self.timestep_num = len(betas)
        self.objective = objective
        self.loss_type = loss_type
        self.clip_denoised = clip_denoised
        self.variance = variance

        # Entry t + 1 belongs to timestep t, so that entry 0 is the clean picture's (t = -1): no case for the last step.
        alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, dim=0)])
        # Not persistent: a checkpoint must never override the schedule that was configured.
        self.register_buffer("_alpha_bar", alpha_bar, persistent=False)
        self._alpha_bar_floats = alpha_bar.tolist()

    def alpha_bar(self, t: int | Tensor) -> float | Tensor:
        """alpha_bar_t, float64; 1 for t = -1. A float for an int t, else (B, 1, 1, 1)."""
        if isinstance(t, int):
            return self._alpha_bar_floats[t + 1]
        return self._alpha_bar[t + 1].view(-1, 1, 1, 1)

    def q_sample(self, x_0: Tensor, t: int | Tensor, noise: Tensor) -> Tensor:
        """DDPM Eq. 4: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise, all (B, C, H, W)."""
        assert x_0.shape == noise.shape, (x_0.shape, noise.shape)
        signal, spread = self._signal_and_spread(t, x_0)
        return signal * x_0 + spread * noise

    def target(self, x_0: Tensor, t: int | Tensor, noise: Tensor) -> Tensor:
        """What the network should emit at x_t = q_sample(x_0, t, noise), by the objective: (B, C, H, W)."""
        if self.objective == "pred_noise":
            return noise
        signal, spread = self._signal_and_spread(t, x_0)
        return signal * noise - spread * x_0

    def predict(self, model_output: Tensor, x_t: Tensor, t: int | Tensor) -> Prediction:
        """x_0 and noise, from what the network emitted at (x_t, t). The one place that branches on the objective.

        If `clip_denoised`, x_0 is in [-1, 1] and the noise is the one that leads from it to x_t.
        """
        assert model_output.shape == x_t.shape, (model_output.shape, x_t.shape)
        signal, spread = self._signal_and_spread(t, x_t)
        if self.objective == "pred_noise":
            noise = model_output
            x_0 = (x_t - spread * noise) / signal
        else:
            x_0 = signal * x_t - spread * model_output
            noise = spread * x_t + signal * model_output
        if self.clip_denoised:
            x_0 = x_0.clamp(-1, 1)
            noise = (x_t - signal * x_0) / spread
        return Prediction(x_0, noise)

    def posterior(self, x_0: Tensor, x_t: Tensor, t: int | Tensor, t_prev: int | Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_{t_prev} given x_t and x_0: DDPM Eq. 6-7, for any jump t -> t_prev < t.

        Eq. 7 with alpha = alpha_bar_t / alpha_bar_{t_prev}, the signal kept by the whole jump, and beta = 1 - alpha:
        Improved DDPM's respaced chain (Nichol and Dhariwal 2021, Eq. 19). With `fixed_large` the variance is that beta.
        At t_prev = -1 the mean is x_0 and the variance 0. Mean: (B, C, H, W); variance: () or (B, 1, 1, 1).
        """
        ab_t, ab_prev = self.alpha_bar(t), self.alpha_bar(t_prev)
        alpha = ab_t / ab_prev
        beta = 1 - alpha
        x_0_weight = ab_prev**0.5 * beta / (1 - ab_t)
        x_t_weight = alpha**0.5 * (1 - ab_prev) / (1 - ab_t)
        variance = beta * (1 - ab_prev) / (1 - ab_t)
        if self.variance == "fixed_large":
            # The finished picture gets no noise (DDPM, Algorithm 2, line 3), whichever variance the other steps have.
            variance = beta * (ab_prev < 1)
        mean = _like(x_0_weight, x_t) * x_0 + _like(x_t_weight, x_t) * x_t
        if isinstance(variance, float):
            return mean, torch.full((), variance, dtype=x_t.dtype, device=x_t.device)
        return mean, variance.to(x_t.dtype)

    def training_losses(
        self, model: Callable[[Tensor, Tensor], Tensor], x_0: Tensor, t: Tensor, noise: Tensor
    ) -> Tensor:
        """The loss of each picture, (B,): DDPM Eq. 14 with `loss_type` as the distance, averaged over its pixels.

        x_0: (B, C, H, W) in [-1, 1]; t: (B,) integers in [0, T-1]; noise: standard normal, like x_0.
        """
        assert t.shape == x_0.shape[:1], (t.shape, x_0.shape)
        output = model(self.q_sample(x_0, t, noise), t).to(x_0.dtype)
        target = self.target(x_0, t, noise)
        assert output.shape == target.shape, (output.shape, target.shape)
        distance = {"l1": F.l1_loss, "l2": F.mse_loss}[self.loss_type]
        return distance(output, target, reduction="none").flatten(1).mean(dim=1)

    def _signal_and_spread(self, t: int | Tensor, x: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), computed in float64 and given in x's precision."""
        alpha_bar = self.alpha_bar(t)
        return _like(alpha_bar**0.5, x), _like((1 - alpha_bar) ** 0.5, x)


def build_diffusion(*, timestep_num: int, beta_schedule: str, **options) -> GaussianDiffusion:
    """From the YAML's diffusion block: `make_betas`, and `GaussianDiffusion` with the rest of the block as its `options`."""
    return GaussianDiffusion(make_betas(beta_schedule, timestep_num), **options)


def _like(coefficient: float | Tensor, x: Tensor) -> float | Tensor:
    """A float64 coefficient in x's precision (a Python float already takes it)."""
    return coefficient if isinstance(coefficient, float) else coefficient.to(x.dtype)
