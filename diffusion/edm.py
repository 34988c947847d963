"""EDM's sampler (Karras et al. 2022, Algorithm 2), as `diffusion.samplers` lists it, with the arguments explained there.

Its picture is x = x_t / signal, and its noise level is sigma / signal, here `level`: x = x_0 + level noise.
"""

import math

from torch import Tensor

from diffusion.schedules import SIGMA_MAX

MOST_CHURN = math.sqrt(2) - 1  # the largest gamma of Algorithm 2: the variance of the noise is doubled


def edm(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """Algorithm 2: raise the level by fresh noise ("churn"), take Euler's step in it, look again there, correct. Order 2.

    `eta` is the churn's share of the most that the paper allows: gamma = eta (sqrt(2) - 1), S_noise = 1, at every level. Noise
    is added up to the nearest timestep, their round_sigma; of that the callback is told. Levels end at the paper's 80: where
    a schedule goes on to pure noise, straight lines in the level lead nowhere, and its state counts as that of 80. Two
    network calls a step, and one for the last: EDM_18 costs 35.
    """
    for index, (t, t_prev) in enumerate(pairs):
        t, x = _churned(diffusion, x, t, eta, noise_like)
        prediction = diffusion.predict(network(x, t), x, t)
        callback(index, t, t_prev, x, prediction)
        if t_prev < 0:
            return prediction.x_0
        level, level_prev = _level(diffusion, t), _level(diffusion, t_prev)
        scaled = math.hypot(1, level) * x
        slope = (scaled - prediction.x_0) / level
        ahead = (scaled + (level_prev - level) * slope) / math.hypot(1, level_prev)
        x_0_ahead = diffusion.predict(network(ahead, t_prev), ahead, t_prev).x_0
        slope_ahead = (math.hypot(1, level_prev) * ahead - x_0_ahead) / level_prev
        x = (scaled + (level_prev - level) * (slope + slope_ahead) / 2) / math.hypot(1, level_prev)
    return x


def _churned(diffusion, x: Tensor, t: int, eta: float, noise_like) -> tuple[int, Tensor]:
    """The timestep whose level is nearest to 1 + gamma times that of t, and x with as much fresh noise."""
    level, raised = _level(diffusion, t), t
    wanted = (1 + eta * MOST_CHURN) * level
    while raised + 1 < diffusion.timestep_num and (
        abs(_level(diffusion, raised + 1) - wanted) < abs(_level(diffusion, raised) - wanted)
    ):
        raised += 1
    if raised == t:
        return t, x
    level_raised = _level(diffusion, raised)
    added = math.sqrt(level_raised**2 - level**2)
    return raised, (math.hypot(1, level) * x + added * noise_like(x)) / math.hypot(1, level_raised)


def _level(diffusion, t: int) -> float:
    """sigma / signal at t >= 0, at most 80."""
    alpha_bar = diffusion.alpha_bar(t)
    return min(SIGMA_MAX, math.sqrt((1 - alpha_bar) / alpha_bar)) if alpha_bar > 0 else SIGMA_MAX
