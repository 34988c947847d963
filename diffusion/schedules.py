"""Noise schedules, and the list of timesteps that a sampler walks."""

import math

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


SCHEDULES = {"linear": linear_betas, "cosine": cosine_betas}


def make_betas(name: str, timestep_num: int, **options: float) -> Tensor:
    """The variance schedule `name` for T = `timestep_num` steps: (T,) float64, each in (0, 1).

    `options` are the named schedule's own arguments (`linear_betas`: beta_start, beta_end; `cosine_betas`: offset);
    one that it does not have is a TypeError. ValueError for an unknown name or a T below 1.
    """
    if name not in SCHEDULES:
        raise ValueError(f"beta_schedule {name!r} is not known; the known ones are {', '.join(SCHEDULES)}")
    if timestep_num < 1:
        raise ValueError(f"timestep_num must be at least 1, not {timestep_num}")
    return SCHEDULES[name](timestep_num, **options)


def timestep_pairs(timestep_num: int, steps: int) -> list[tuple[int, int]]:
    """The S = `steps` jumps (t, t_prev) from noise to the clean picture, for a chain of T = `timestep_num` steps.

    Exactly S pairs, strictly decreasing; the first t is T-1, each t_prev is the next t, the last t_prev is -1 (clean).
    The jumps are of equal length up to rounding, counted from the noisy end ("trailing" in Lin et al. 2023, Table 2),
    in integer arithmetic: timestep_pairs(1000, 4) = [(999, 749), (749, 499), (499, 249), (249, -1)].

    ValueError unless 1 <= S <= T.
    """
    if not 1 <= steps <= timestep_num:
        raise ValueError(f"the number of sampling steps must be from 1 to the {timestep_num} of training, not {steps}")
    # floor(T * k / S) rises by at least 1 from k to k + 1, since T / S >= 1: no two timesteps coincide.
    times = [timestep_num * k // steps - 1 for k in range(steps, -1, -1)]
    return list(zip(times[:-1], times[1:]))


def pairs_from(start: int, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The jumps of a chain that begins in the middle: first `start`, then each timestep of `pairs` below it.

    For a picture that was noised to t = `start` only. ValueError unless 0 <= start <= the first t of `pairs`.
    """
    if not 0 <= start <= pairs[0][0]:
        raise ValueError(f"the first timestep must be from 0 to {pairs[0][0]}, not {start}")
    times = [start, *(t for t, _ in pairs if t < start), -1]
    return list(zip(times[:-1], times[1:]))
