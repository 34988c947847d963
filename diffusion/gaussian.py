"""The Gaussian forward process q, its posteriors, and what a network's output says of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffusion.clipping import CLIPS, clipped
from diffusion.losses import LOSS_TYPES, distance, without_overshoot
from diffusion.objectives import OBJECTIVES, output_of, read_output
from diffusion.precision import WITHOUT_FLOAT64, like, on_device
from diffusion.schedules import alpha_bar_of, half_log_snr, timestep_pairs
from diffusion.variational import discretized_gaussian_log_likelihood, gaussian_kl
from diffusion.weighting import WEIGHTINGS, WITHOUT_END, loss_weight

ESTIMATES_OF_X_0 = ("pred_x0", "pred_edm")  # trained by the error of x_0
VARIANCES = ("fixed_small", "fixed_large", "learned")
NETWORK_INPUTS = ("x_t", "x_u")

VLB_WEIGHT = 0.001  # lambda of L_hybrid (Nichol and Dhariwal 2021, Eq. 16)


class Prediction(NamedTuple):
    """What the network's output at (x_t, t) says, whatever it was trained to emit: both (B, C, H, W)."""

    x_0: Tensor
    noise: Tensor


class GaussianDiffusion(nn.Module):
    """The diffusion process of DDPM (Ho et al. 2020) over T steps, without the network.

    Wherever a method takes `t`, it is an int (all pictures at the same step; the coefficients are then plain floats and
    nothing waits for the device) or a (B,) integer tensor on the pictures' device. `t = 0` means one step of noise,
    `t_prev = -1` means clean. The table is float64, on whatever device `t` is, but on Apple's GPUs, which have no float64:
    there the coefficients are computed on the CPU. It is not part of the state_dict, and neither `.to` nor `.half` change it.

    Args:
        betas: (T,) variances of the single steps, each in (0, 1), the last also 1; see `schedule_betas`.
        objective: what the network emits: `pred_noise` (DDPM), `pred_x0`, `pred_v` (Salimans and Ho 2022, Sec. 4 and App. D),
            `pred_flow` (Lipman et al. 2023), or `pred_edm` (Karras et al. 2022, Eq. 7); see `output_of`.
        sigma_data: of `pred_edm` and of weighting `edm`: the standard deviation of the pixels, in [-1, 1].
        loss_type: the distance between the network's output and `target`, for `pred_edm` between its x_0 and x_0: `l1`, `l2`,
            `huber`, the pseudo-Huber sqrt(d^2 + c^2) - c of each pixel (Charbonnier et al. 1997), or `picture_huber`, that of
            each picture (Song and Dhariwal 2023, Sec. 3.3); see `diffusion.losses.distance`.
        loss_of_clipped: an estimate of x_0 that overshoots black or white where x_0 is there is no error, as it is clipped
            while drawing. Of `pred_x0` and `pred_edm`; `clipped_above`: the x_0 from which on it counts as white.
        clip_denoised: whether and how the predicted x_0 is clipped, see `diffusion.clipping.clipped`; the noise is then
            derived again from it.
        variance: the variance of a DDPM step. `fixed_small`: the posterior's own (beta tilde). `fixed_large`: the beta of
            the jump (DDPM, Sec. 3.2). `learned`: between the two, by a second set of output channels, trained by L_hybrid
            (Nichol and Dhariwal 2021, Eq. 15-16).
        weighting: how much each timestep counts in the loss, `none`, `p2`, `min_snr` or `edm`; see `loss_weight`, also for
            p2_k, p2_gamma and min_snr_gamma.
        network_input: what the network is shown: `x_t`, and t, or `x_u`, and its time; see `diffusion.network_input`.
        self_condition: whether the network is also shown its last estimate of x_0; see `diffusion.self_condition`.
        tuned_times: the timesteps that were learned for this network, by sampler; see `SampleInfo.pairs_on`.
    """

    def __init__(
        self,
        betas: Tensor,
        objective: str = "pred_noise",
        sigma_data: float = 0.5,
        loss_type: str = "l1",
        loss_of_clipped: bool = False,
        clipped_above: float = 1.0,
        clip_denoised: bool | str = True,
        variance: str = "fixed_small",
        weighting: str = "none",
        p2_k: float = 1.0,
        p2_gamma: float = 1.0,
        min_snr_gamma: float = 5.0,
        network_input: str = "x_t",
        self_condition: bool = False,
        tuned_times: Mapping[str, Sequence[int]] | None = None,
    ):
        super().__init__()
        for name, value, known in (
            ("objective", objective, OBJECTIVES),
            ("loss_type", loss_type, LOSS_TYPES),
            ("clip_denoised", clip_denoised, CLIPS),
            ("variance", variance, VARIANCES),
            ("weighting", weighting, WEIGHTINGS),
            ("network_input", network_input, NETWORK_INPUTS),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r} is not known; the known ones are {', '.join(map(str, known))}")
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or not ((betas > 0) & (betas <= 1)).all() or (betas[:-1] == 1).any():
            raise ValueError(f"betas must be a row of numbers in (0, 1), the last also 1, not {betas.min()} to {betas.max()}")
        if betas[-1] == 1 and objective == "pred_noise":
            raise ValueError("no x_0 can be read from a noise prediction at zero terminal SNR; use pred_v or pred_flow")
        if betas[-1] == 1 and weighting in WITHOUT_END:
            raise ValueError(f"weighting {weighting} gives the last timestep no weight at zero terminal SNR; use none or edm")
        if loss_of_clipped and objective not in ESTIMATES_OF_X_0:
            raise ValueError(f"loss_of_clipped needs an objective of {' or '.join(ESTIMATES_OF_X_0)}, not {objective}")
        self.timestep_num = len(betas)
        self.objective = objective
        self.sigma_data = sigma_data
        self.loss_type = loss_type
        self.loss_of_clipped = loss_of_clipped
        self.clipped_above = clipped_above
        self.clip_denoised = clip_denoised
        self.variance = variance
        self.weighting = weighting
        self.weighting_options = {
            "p2_k": p2_k, "p2_gamma": p2_gamma, "min_snr_gamma": min_snr_gamma, "sigma_data": sigma_data,
        }  # fmt: skip
        self.network_input = network_input
        self.self_condition = self_condition
        self.tuned_times = tuned_times or {}

        # Entry t + 1 belongs to timestep t, so that entry 0 is the clean picture's (t = -1): no case for the last step.
        alpha_bar = alpha_bar_of(betas)
        # No buffer: a checkpoint must never override the schedule that was configured, and not every device has float64.
        self._alpha_bar = alpha_bar
        self._alpha_bar_on: dict[torch.device, Tensor] = {}  # the same on each device that asked for it
        self._alpha_bar_floats = alpha_bar.tolist()

    def alpha_bar(self, t: int | Tensor) -> float | Tensor:
        """alpha_bar_t, float64; 1 for t = -1. A float for an int t, else (B, 1, 1, 1), on t's device or the CPU (mps)."""
        if isinstance(t, int):
            return self._alpha_bar_floats[t + 1]
        if t.device.type in WITHOUT_FLOAT64:
            t = t.cpu()
        if t.device not in self._alpha_bar_on:
            self._alpha_bar_on[t.device] = self._alpha_bar.to(t.device)
        return self._alpha_bar_on[t.device][t + 1].view(-1, 1, 1, 1)

    def half_log_snr(self, device: torch.device | str = "cpu") -> Tensor:
        """lambda of each t, (T,) float64, on that device, or on the CPU where it has no float64; see `half_log_snr`."""
        return half_log_snr(self.alpha_bar(torch.arange(self.timestep_num, device=device)).flatten())

    def timestep_pairs(self, steps: int, spacing: str = "uniform") -> list[tuple[int, int]]:
        """The jumps (t, t_prev) of a sampler with so many steps on this schedule; see `timestep_pairs`."""
        return timestep_pairs(self.timestep_num, steps, spacing, self.half_log_snr().tolist())

    def q_sample(self, x_0: Tensor, t: int | Tensor, noise: Tensor) -> Tensor:
        """DDPM Eq. 4: x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise, all (B, C, H, W)."""
        assert x_0.shape == noise.shape, (x_0.shape, noise.shape)
        signal, sigma = self._signal_and_sigma(t, x_0)
        return signal * x_0 + sigma * noise

    def target(self, x_0: Tensor, t: int | Tensor, noise: Tensor) -> Tensor:
        """What the network should emit at x_t = q_sample(x_0, t, noise), by the objective: (B, C, H, W)."""
        return output_of(self.objective, x_0, noise, *self._signal_and_sigma(t, x_0), self.sigma_data)

    def output_for(self, x_0: Tensor, x_t: Tensor, t: int | Tensor) -> Tensor:
        """What a network emits at (x_t, t) whose estimate is x_0, which need not be where x_t came from: (B, C, H, W)."""
        signal, sigma = self._signal_and_sigma(t, x_t)
        return self.target(x_0, t, (x_t - signal * x_0) / sigma)

    def predict(self, model_output: Tensor, x_t: Tensor, t: int | Tensor, *, clip: bool = True) -> Prediction:
        """x_0 and noise, from what the network emitted at (x_t, t).

        model_output: (B, C, H, W), or (B, 2 C, H, W) if the variance is learned. x_0 is clipped as `clip_denoised` says,
        unless `clip` is False; then the noise is the one that leads from it to x_t.
        """
        output, _ = self.split(model_output)
        assert output.shape == x_t.shape, (output.shape, x_t.shape)
        signal, sigma = self._signal_and_sigma(t, x_t)
        x_0, noise = read_output(self.objective, output, x_t, signal, sigma, self.sigma_data)
        if clip and self.clip_denoised:
            x_0 = clipped(x_0, self.clip_denoised)
            noise = (x_t - signal * x_0) / sigma
        return Prediction(x_0, noise)

    def posterior(self, x_0: Tensor, x_t: Tensor, t: int | Tensor, t_prev: int | Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of x_{t_prev} given x_t and x_0: DDPM Eq. 6-7, for any jump t -> t_prev < t.

        Eq. 7 with alpha = alpha_bar_t / alpha_bar_{t_prev}, the signal kept by the whole jump, and beta = 1 - alpha:
        Improved DDPM's respaced chain (Nichol and Dhariwal 2021, Eq. 19). At t_prev = -1 the mean is x_0 and the
        variance 0. Mean: (B, C, H, W); variance: () or (B, 1, 1, 1).
        """
        _, beta_tilde = _jump_variances(self.alpha_bar(t), self.alpha_bar(t_prev))
        return self.posterior_mean(x_0, x_t, t, t_prev), on_device(beta_tilde, x_t)

    def posterior_mean(self, x_0: Tensor, x_t: Tensor, t: int | Tensor, t_prev: int | Tensor) -> Tensor:
        """The mean of `posterior` alone, (B, C, H, W)."""
        ab_t, ab_prev = self.alpha_bar(t), self.alpha_bar(t_prev)
        beta, _ = _jump_variances(ab_t, ab_prev)
        x_0_weight = ab_prev**0.5 * beta / (1 - ab_t)
        x_t_weight = (ab_t / ab_prev) ** 0.5 * (1 - ab_prev) / (1 - ab_t)
        return like(x_0_weight, x_t) * x_0 + like(x_t_weight, x_t) * x_t

    def log_variance(self, model_output: Tensor, t: int | Tensor, t_prev: int | Tensor) -> Tensor:
        """The log variance with which a DDPM step takes the jump, by `variance`: (), (B, 1, 1, 1) or (B, C, H, W).

        `learned` is Improved DDPM Eq. 15: log beta and log beta tilde, mixed by the second half of the output's channels.
        At t_prev = -1, where beta tilde is 0, that of the jump 1 -> 0 stands in for it, as in Improved DDPM's code; no
        sampler adds noise there, but the likelihood of t = 0 needs a variance.
        """
        ab_t, ab_prev = self.alpha_bar(t), self.alpha_bar(t_prev)
        beta, beta_tilde = _jump_variances(ab_t, ab_prev)
        floor = max(_jump_variances(self.alpha_bar(min(1, self.timestep_num - 1)), self.alpha_bar(0))[1], 1e-20)
        if isinstance(t, int):  # numbers until they are on the device: nothing is copied there
            small, large = math.log(floor if t_prev < 0 else beta_tilde), math.log(beta)
            large_or_last = small if t_prev < 0 else large
        else:
            last = t_prev.view(beta.shape).to(beta.device) < 0
            small, large = torch.where(last, floor, beta_tilde).log(), beta.log()
            large_or_last = torch.where(last, small, large)
        if self.variance != "learned":
            return on_device(small if self.variance == "fixed_small" else large_or_last, model_output)
        small, large = on_device(small, model_output), on_device(large, model_output)
        _, fraction = self.split(model_output)  # -1 for beta tilde, 1 for beta
        return large * (1 + fraction) / 2 + small * (1 - fraction) / 2

    def step_std(self, model_output: Tensor, t: int, t_prev: int) -> float | Tensor:
        """The standard deviation with which a DDPM step takes the jump, see `log_variance`; a number unless it is learned.

        Rounded as the float32 tensor of it would be.
        """
        if self.variance == "learned":
            return (0.5 * self.log_variance(model_output, t, t_prev)).exp()
        on_cpu = torch.empty(0, dtype=model_output.dtype)
        return (0.5 * self.log_variance(on_cpu, t, t_prev)).exp().tolist()

    def split(self, model_output: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's estimate, and the channels that name the variance, where that is learned (else None)."""
        if self.variance != "learned":
            return model_output, None
        return model_output.chunk(2, dim=1)

    def training_losses(
        self,
        model: Callable[[Tensor, Tensor], Tensor],
        x_0: Tensor,
        t: Tensor,
        noise: Tensor,
        toward: Tensor | None = None,
    ) -> Tensor:
        """The loss of each picture, (B,): DDPM Eq. 14 with the chosen target, distance and weight, averaged over pixels.

        x_0: (B, C, H, W) in [-1, 1]; t: (B,) integers in [0, T-1]; noise: standard normal, like x_0. With a learned
        variance it is L_hybrid (Nichol and Dhariwal 2021, Eq. 16): to that is added 0.001 T times the term of the
        variational bound, in bits a dimension, which trains the variance alone.

        toward: what the estimate of x_0 should be instead of x_0, of a student, see `diffusion.distillation`. Its loss is the
        distance of the x_0.
        """
        assert t.shape == x_0.shape[:1], (t.shape, x_0.shape)
        x_t = self.q_sample(x_0, t, noise)
        output = model(x_t, t).to(x_0.dtype)
        emitted, fraction = self.split(output)
        assert emitted.shape == x_0.shape, (output.shape, x_0.shape)
        if self.objective == "pred_edm" or toward is not None:
            estimate, target = self.predict(output, x_t, t, clip=False).x_0, x_0 if toward is None else toward
        else:
            estimate, target = emitted, self.target(x_0, t, noise)
        if self.loss_of_clipped:
            estimate = without_overshoot(estimate, target, self.clipped_above)
        losses = distance(estimate, target, self.loss_type)
        if self.weighting != "none":
            snr = self.alpha_bar(t).flatten() / (1 - self.alpha_bar(t).flatten())
            losses = losses * like(loss_weight(self.weighting, self.objective, snr, **self.weighting_options), losses)
        if fraction is not None and toward is None:
            frozen = torch.cat([emitted.detach(), fraction], dim=1)
            bound = self.bound_terms(frozen, x_0, x_t, t, clip=self.loss_of_clipped)
            losses = losses + VLB_WEIGHT * self.timestep_num * bound
        return losses

    def bound_terms(self, model_output: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, *, clip: bool = False) -> Tensor:
        """The term of t in the variational bound on -log p(x_0), (B,) in bits a dimension: DDPM Eq. 5.

        For t > 0 the KL divergence of the network's step from the posterior; for t = 0 minus the log likelihood of the
        256 grey values under it. `clip` applies `clip_denoised`. The prior's own term is not among them.
        """
        prediction = self.predict(model_output, x_t, t, clip=clip)
        mean = self.posterior_mean(prediction.x_0, x_t, t, t - 1)
        true_mean, true_variance = self.posterior(x_0, x_t, t, t - 1)
        log_variance = self.log_variance(model_output, t, t - 1).expand_as(mean)
        divergence = gaussian_kl(true_mean, true_variance, mean, log_variance)
        decoder = -discretized_gaussian_log_likelihood(x_0, mean, 0.5 * log_variance)
        nats = torch.where(t.view(-1, 1, 1, 1) == 0, decoder, divergence)
        return nats.flatten(1).mean(dim=1) / math.log(2)

    def _signal_and_sigma(self, t: int | Tensor, x: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t), computed in float64 and given in x's precision."""
        alpha_bar = self.alpha_bar(t)
        return like(alpha_bar**0.5, x), like((1 - alpha_bar) ** 0.5, x)


def _jump_variances(ab_t: float | Tensor, ab_prev: float | Tensor) -> tuple[float | Tensor, float | Tensor]:
    """beta of the jump, and the variance beta tilde of its posterior (DDPM Eq. 7)."""
    beta = 1 - ab_t / ab_prev
    return beta, beta * (1 - ab_prev) / (1 - ab_t)
