"""Noise schedules, and the list of timesteps that a sampler walks."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# A beta of 1 would leave no signal at all (alpha_bar = 0), and no x_0 could be read from a noise prediction.
# Improved DDPM clips its cosine betas here; linear betas meet the same limit when they are scaled to T < 20.
MAX_BETA = 0.999


def linear_betas(timestep_num: int, beta_start: float = 1e-4, beta_end: float = 0.02) -> Tensor:
    """Betas of DDPM (Ho et al. 2020, Sec. 4), a straight line from `beta_start` to `beta_end`.

    Both ends are given for T = 1000 and scaled by 1000/T, so that the total noise is about the same for every T
    (as in Improved DDPM's code). Returns (T,) float64.
    """
    scale = 1000.0 / timestep_num
    betas = torch.linspace(scale * beta_start, scale * beta_end, timestep_num, dtype=torch.float64)
    return betas.clamp(max=MAX_BETA)


def cosine_betas(timestep_num: int, offset: float = 0.008) -> Tensor:
    """Betas of Improved DDPM's cosine schedule (Nichol and Dhariwal 2021, Eq. 17). Returns (T,) float64.

    alpha_bar(u) = cos^2((u + offset) / (1 + offset) * pi/2) over its value at u = 0, with u = (t + 1) / T.
    """
    u = torch.arange(timestep_num + 1, dtype=torch.float64) / timestep_num
    alpha_bar = torch.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=MAX_BETA)


def sigmoid_betas(timestep_num: int, start: float = -3.0, end: float = 3.0, tau: float = 1.0) -> Tensor:
    """Betas of the sigmoid schedule (Jabri et al. 2022, App. B). Returns (T,) float64.

    alpha_bar(u) falls as a sigmoid from `start` to `end`, with temperature `tau`, over u = (t + 1) / T.
    """
    u = torch.arange(timestep_num + 1, dtype=torch.float64) / timestep_num
    curve = torch.sigmoid((start + u * (end - start)) / tau)
    alpha_bar = (curve[-1] - curve) / (curve[-1] - curve[0])
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=MAX_BETA)


def flow_betas(timestep_num: int, max_beta: float = MAX_BETA) -> Tensor:
    """Betas of flow matching's straight path x_u = (1 - u) x_0 + u noise, u = (t + 1) / T (Lipman et al. 2023, Eq. 22; Liu et
    al. 2023). Returns (T,) float64.

    Scaled to unit variance, as x_t = x_u / sqrt((1 - u)^2 + u^2), it is a schedule whose log SNR is 2 log((1 - u) / u). At
    u = 1 nothing is left of the picture: a `max_beta` of 1 keeps that.
    """
    u = torch.arange(timestep_num + 1, dtype=torch.float64) / timestep_num
    alpha_bar = (1 - u) ** 2 / ((1 - u) ** 2 + u**2)
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=max_beta)


SCHEDULES = {
    "linear": linear_betas,
    "cosine": cosine_betas,
    "sigmoid": sigmoid_betas,
    "flow": flow_betas,
}


def make_betas(name: str, timestep_num: int, **options: float) -> Tensor:
    """The variance schedule `name` for T = `timestep_num` steps: (T,) float64, each in (0, 1).

    `options` are the named schedule's own arguments (`linear_betas`: beta_start, beta_end; `cosine_betas`: offset;
    `sigmoid_betas`: start, end, tau; `flow_betas`: max_beta); one that it does not have is a TypeError. ValueError for an
    unknown name or a T below 1.
    """
    if name not in SCHEDULES:
        raise ValueError(f"beta_schedule {name!r} is not known; the known ones are {', '.join(SCHEDULES)}")
    if timestep_num < 1:
        raise ValueError(f"timestep_num must be at least 1, not {timestep_num}")
    return SCHEDULES[name](timestep_num, **options)


def schedule_betas(name: str, timestep_num: int, shift: float = 1.0, zero_terminal_snr: bool = False) -> Tensor:
    """The schedule that the YAML's diffusion block describes: (T,) float64, each in (0, 1), the last also 1.

    See `make_betas`, `shifted_betas` and `zero_terminal_snr_betas`. `flow` needs no change for zero terminal SNR: its last beta
    is 1 unless it is clipped, and every other timestep stays where it is.
    """
    options = {"max_beta": 1.0} if zero_terminal_snr and name == "flow" else {}
    betas = shifted_betas(make_betas(name, timestep_num, **options), shift)
    return zero_terminal_snr_betas(betas) if zero_terminal_snr else betas


def alpha_bar_of(betas: Tensor) -> Tensor:
    """alpha_bar of the clean picture, 1, and of each timestep: `betas`, (T,) -> (T + 1,) float64, entry t + 1 of timestep t."""
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, dim=0)])


def shifted_betas(betas: Tensor, shift: float) -> Tensor:
    """`betas`, (T,), with sigma / signal multiplied by `shift` at every t: the log SNR falls by 2 log(shift).

    A larger picture says the same with more pixels, and takes more noise to lose as much (Hoogeboom et al. 2023, Sec. 3.1). For
    `flow` it is u -> shift u / (1 + (shift - 1) u) (Esser et al. 2024, Eq. 23).
    """
    if shift == 1:
        return betas
    alpha_bar = alpha_bar_of(betas)
    alpha_bar = alpha_bar / (alpha_bar + shift**2 * (1 - alpha_bar))
    return 1 - alpha_bar[1:] / alpha_bar[:-1]


def zero_terminal_snr_betas(betas: Tensor) -> Tensor:
    """`betas`, (T,), changed so that nothing is left of the picture at T-1: the last one is 1 (Lin et al. 2023, Alg. 1).

    sqrt(alpha_bar) is shifted and scaled: its first value stays, its last becomes 0. ValueError for T = 1, which has
    no first value to keep.
    """
    if len(betas) < 2:
        raise ValueError("zero_terminal_snr needs a timestep_num of 2 or more")
    signal = torch.cumprod(1 - betas, dim=0).sqrt()
    signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    alpha_bar = signal**2
    return 1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])


# Stands for no signal at all (alpha_bar = 0), where the logarithm would be -inf: e^-20 is below float32's resolution.
LEAST_HALF_LOG_SNR = -20.0


def half_log_snr(alpha_bar: Tensor) -> Tensor:
    """lambda = log(signal / sigma), half of the log signal-to-noise ratio (Lu et al. 2022, Sec. 2.2), like `alpha_bar`.

    At least -20, infinite for a clean picture.
    """
    return 0.5 * (alpha_bar.log() - (1 - alpha_bar).log()).clamp(min=2 * LEAST_HALF_LOG_SNR)


SPACINGS = ("uniform", "quad", "logsnr", "karras")

# EDM's noise levels (Karras et al. 2022, Table 1), for pixels in [-1, 1], and how they are spaced.
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0


def timestep_pairs(
    timestep_num: int, steps: int, spacing: str = "uniform", half_log_snrs: Sequence[float] | None = None
) -> list[tuple[int, int]]:
    """The S = `steps` jumps (t, t_prev) from noise to the clean picture, for a chain of T = `timestep_num` steps.

    Exactly S pairs, strictly decreasing; the first t is T-1, each t_prev is the next t, the last t_prev is -1 (clean).

    uniform: jumps of equal length up to rounding, counted from the noisy end ("trailing" in Lin et al. 2023, Table 2):
        timestep_pairs(1000, 4) = [(999, 749), (749, 499), (499, 249), (249, -1)].
    quad: t grows with the square, so that jumps are short near the clean end (DDIM, App. D.2).
    logsnr: t at equal distances of log SNR, from T-1 to 0 (DPM-Solver, Sec. 3.4); needs lambda of each t,
        `half_log_snrs`, (T,); see `GaussianDiffusion.timestep_pairs`.
    karras: t nearest to EDM's noise levels sigma / signal = exp(-lambda), evenly spaced in their seventh root from 80, or the
        largest that the schedule has, to 0.002, or the smallest (Karras et al. 2022, Eq. 5); needs `half_log_snrs`, too. The
        first is T-1 all the same: above 80 there is as good as noise alone.
    Where two of them would be the same integer, the higher ones move up.

    ValueError unless 1 <= S <= T and the spacing is known.
    """
    if not 1 <= steps <= timestep_num:
        raise ValueError(f"the number of sampling steps must be from 1 to the {timestep_num} of training, not {steps}")
    if spacing == "uniform":
        # floor(T * k / S) rises by at least 1 from k to k + 1, since T / S >= 1: no two coincide.
        wanted = [timestep_num * k // steps - 1 for k in range(1, steps + 1)]
    elif spacing == "quad":
        wanted = [timestep_num * k * k // (steps * steps) - 1 for k in range(1, steps + 1)]
    elif spacing == "logsnr":
        assert half_log_snrs is not None and len(half_log_snrs) == timestep_num
        wanted = _equally_spaced(half_log_snrs, steps)
    elif spacing == "karras":
        assert half_log_snrs is not None and len(half_log_snrs) == timestep_num
        wanted = [*_karras_spaced(half_log_snrs, steps)[:-1], timestep_num - 1]
    else:
        raise ValueError(f"spacing {spacing!r} is not known; the known ones are {', '.join(SPACINGS)}")
    times = [-1]
    for k, t in enumerate(wanted, start=1):
        # Above the one before, and low enough to leave room for those that follow, up to T-1.
        times.append(min(max(t, times[-1] + 1), timestep_num - 1 - (steps - k)))
    times.reverse()
    return list(zip(times[:-1], times[1:]))


def _equally_spaced(values: Sequence[float], count: int) -> list[int]:
    """Positions, from the first to the last, at which the falling `values` come nearest to `count` equal steps."""
    if count == 1:
        return [len(values) - 1]
    targets = [values[0] + (values[-1] - values[0]) * k / (count - 1) for k in range(count)]
    return [min(range(len(values)), key=lambda i: abs(values[i] - target)) for target in targets]


def _karras_spaced(half_log_snrs: Sequence[float], count: int) -> list[int]:
    """Positions, from the first to the last, at which the falling `half_log_snrs` come nearest to EDM's levels."""
    if count == 1:
        return [len(half_log_snrs) - 1]
    least = max(SIGMA_MIN, math.exp(-half_log_snrs[0])) ** (1 / RHO)
    most = min(SIGMA_MAX, math.exp(-half_log_snrs[-1])) ** (1 / RHO)
    targets = [-RHO * math.log(least + (most - least) * k / (count - 1)) for k in range(count)]
    return [min(range(len(half_log_snrs)), key=lambda i: abs(half_log_snrs[i] - target)) for target in targets]


def draw_timesteps(
    count: int,
    timestep_num: int,
    logit_normal: Sequence[float] | None,
    generator: torch.Generator,
    uniform_share: float = 0.0,
) -> Tensor:
    """The timesteps of a training batch, (count,) int64 in [0, T-1], on the generator's device.

    Uniform (DDPM, Alg. 1), or, by `logit_normal` = (mean, std), as sigmoid(N(mean, std^2)) of the way from clean to noise
    (Esser et al. 2024, Sec. 3.1), so that training dwells where there is most to learn; then each is drawn uniformly all the
    same with a chance of `uniform_share`, so that no t goes unseen.
    """
    device = generator.device
    if logit_normal is None:
        return torch.randint(timestep_num, (count,), generator=generator, device=device)
    mean, std = logit_normal
    u = torch.sigmoid(mean + std * torch.randn(count, generator=generator, device=device))
    if uniform_share > 0:
        chosen, anywhere = torch.rand(2, count, generator=generator, device=device)
        u = torch.where(chosen < uniform_share, anywhere, u)
    return (u * timestep_num).long().clamp(max=timestep_num - 1)


def draw_timesteps_by_sigma(
    half_log_snrs: Tensor, count: int, log_normal: Sequence[float], generator: torch.Generator, uniform_share: float = 0.0
) -> Tensor:
    """The timesteps of a training batch by EDM's distribution, (count,) int64 in [0, T-1], on the generator's device.

    log(sigma / signal) is drawn from N(P_mean, P_std^2), `log_normal` (Karras et al. 2022, Table 1), and the t taken at which
    the schedule comes nearest; what lies beyond its ends is drawn to them. half_log_snrs: lambda of each t, (T,).
    `uniform_share`: as in `draw_timesteps`.
    """
    (mean, std), device = log_normal, generator.device
    log_sigma = mean + std * torch.randn(count, generator=generator, device=device)
    between = -(half_log_snrs[1:] + half_log_snrs[:-1]) / 2  # t and t + 1 are equally near to between[t]
    t = torch.bucketize(log_sigma, between.float().to(device))
    if uniform_share > 0:
        chosen, anywhere = torch.rand(2, count, generator=generator, device=device)
        t = torch.where(chosen < uniform_share, (anywhere * len(half_log_snrs)).long().clamp(max=len(half_log_snrs) - 1), t)
    return t


def pairs_from(start: int, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The jumps of a chain that begins in the middle: first `start`, then each timestep of `pairs` below it.

    For a picture that was noised to t = `start` only. ValueError unless 0 <= start <= the first t of `pairs`.
    """
    if not 0 <= start <= pairs[0][0]:
        raise ValueError(f"the first timestep must be from 0 to {pairs[0][0]}, not {start}")
    times = [start, *(t for t, _ in pairs if t < start), -1]
    return list(zip(times[:-1], times[1:]))
