"""From noise to pictures: one flat function a sampler, and `sample`, which finds it by name.

Each walks a list of jumps (t, t_prev) and has the same arguments:

    network     x_t, t (an int) -> the network's output, in x_t's precision
    diffusion   GaussianDiffusion: reads the output (`predict`) and knows the posteriors
    x           the state, (B, C, H, W), at the first t of `pairs`
    pairs       the jumps, see `timestep_pairs`
    eta         the share of fresh noise, 0 to 1
    noise_like  x -> standard normal noise of its shape; called only where the variance is not zero
    callback    told of each step, before it is taken: (index, t, t_prev, x_t, prediction)

The solvers of higher order count in lambda = log(signal / sigma), in which the probability-flow ODE is, for a constant
prediction of x_0, solved exactly by DDIM's step; see `ode_step`. Each ends with that step, as lambda is infinite at t = -1.
EDM counts in sigma / signal, see `diffusion.edm`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from diffusion.edm import edm
from diffusion.gaussian import GaussianDiffusion, Prediction
from diffusion.sample_info import SampleInfo
from diffusion.schedules import LEAST_HALF_LOG_SNR

Callback = Callable[[int, int, int, Tensor, Prediction], None]

UNIPC_ORDER = 3


def ddpm(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """DDPM Algorithm 2 (Ho et al. 2020), on the respaced chain of Improved DDPM (Nichol and Dhariwal 2021, Sec. 4).

    The mean and the variance of a step are those of its own jump, so few steps give clean pictures too. Ignores `eta`.
    """
    for index, (t, t_prev) in enumerate(pairs):
        output = network(x, t)
        prediction = diffusion.predict(output, x, t)
        callback(index, t, t_prev, x, prediction)
        mean = diffusion.posterior_mean(prediction.x_0, x, t, t_prev)
        if t_prev >= 0:
            mean = mean + diffusion.step_std(output, t, t_prev) * noise_like(x)
        x = mean
    return x


def ddim(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """DDIM Eq. 12 (Song et al. 2021), the sigma of Eq. 16 multiplied by `eta`: 0 is deterministic, 1 is DDPM."""
    for index, (t, t_prev) in enumerate(pairs):
        prediction = diffusion.predict(network(x, t), x, t)
        callback(index, t, t_prev, x, prediction)
        ab_t, ab_prev = diffusion.alpha_bar(t), diffusion.alpha_bar(t_prev)
        sigma = eta * ((1 - ab_prev) / (1 - ab_t) * (1 - ab_t / ab_prev)) ** 0.5
        # Where nothing is left of the picture at t and eta is 1, all noise is fresh; what rounding leaves may be below 0.
        kept = max(0.0, 1 - ab_prev - sigma**2) ** 0.5
        x = ab_prev**0.5 * prediction.x_0 + kept * prediction.noise
        if sigma > 0:
            x = x + sigma * noise_like(x)
    return x


def cm(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """Multistep consistency sampling, Algorithm 1 of Song et al. 2023: to x_0 in one call, and noised anew to the next t.

    Of a student alone, whose estimate of x_0 is a finished picture; see `diffusion.distillation`. Ignores `eta`.
    """
    for index, (t, t_prev) in enumerate(pairs):
        prediction = diffusion.predict(network(x, t), x, t)
        callback(index, t, t_prev, x, prediction)
        x = prediction.x_0
        if t_prev >= 0:
            x = diffusion.q_sample(x, t_prev, noise_like(x))
    return x


def dpmpp(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """DPM-Solver++(2M), Algorithm 2 of Lu et al. 2022b; for eta = 1 its SDE form (ibid., Eq. 18), between them a mixture.

    The mixture is k-diffusion's: noise is added as if a step were longer by eta. The first and the last step are of first
    order. One network call a step.
    """
    last_x_0, last_h = None, math.nan
    for index, (t, t_prev) in enumerate(pairs):
        prediction = diffusion.predict(network(x, t), x, t)
        callback(index, t, t_prev, x, prediction)
        x_0 = prediction.x_0
        if t_prev < 0:
            return x_0
        h = _lambda(diffusion, t_prev) - _lambda(diffusion, t)
        extrapolated = x_0 if last_x_0 is None else x_0 + h / (2 * last_h) * (x_0 - last_x_0)
        sigma_ratio = _sigma(diffusion, t_prev) / _sigma(diffusion, t) * math.exp(-eta * h)
        x = sigma_ratio * x - _signal(diffusion, t_prev) * math.expm1(-(1 + eta) * h) * extrapolated
        if eta > 0:
            x = x + _sigma(diffusion, t_prev) * math.sqrt(-math.expm1(-2 * eta * h)) * noise_like(x)
        last_x_0, last_h = x_0, h
    return x


def heun(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """Heun's method on the probability-flow ODE: predict with DDIM's step, look again there, correct. Order 2.

    in lambda rather than EDM's noise level (Karras et al. 2022, Alg. 1), as sigma / signal has no bound where a schedule
    leaves no signal: the exponential Heun method (Hochbruck and Ostermann 2010, Eq. 2.40), x_0 varying linearly in lambda
    over the step. Two network calls a step, and one for the last: HEUN_18 costs 35.
    """
    for index, (t, t_prev) in enumerate(pairs):
        prediction = diffusion.predict(network(x, t), x, t)
        callback(index, t, t_prev, x, prediction)
        x_0 = prediction.x_0
        if t_prev < 0:
            return x_0
        h = _lambda(diffusion, t_prev) - _lambda(diffusion, t)
        ahead = ode_step(diffusion, x, x_0, t, t_prev)
        x_0_ahead = diffusion.predict(network(ahead, t_prev), ahead, t_prev).x_0
        # The integral of e^(lambda - lambda_prev) times the straight line from 0 to 1 over the step.
        x = ahead + _signal(diffusion, t_prev) * (1 + math.expm1(-h) / h) * (x_0_ahead - x_0)
    return x


def unipc(network, diffusion, x, pairs, eta, noise_like, callback) -> Tensor:
    """UniPC of order 3, B(h) = e^h - 1, predicting x_0 (Zhao et al. 2023, Alg. 5-8). One network call a step.

    A step predicts (UniP), and is corrected (UniC) once the next call has looked at where it led. The order is lower in the
    first steps, which have no past, and in the last ones, which end at infinity.
    """
    past: list[tuple[float, Tensor]] = []  # (lambda, x_0) of the calls so far, the latest first, as many as the order
    correct = None
    for index, (t, t_prev) in enumerate(pairs):
        prediction = diffusion.predict(network(x, t), x, t)
        if correct is not None:
            # x moves to its corrected place; the prediction is not asked for again there, which is what costs no call.
            x = correct(prediction.x_0)
        callback(index, t, t_prev, x, prediction)
        if t_prev < 0:
            return prediction.x_0
        past = [(_lambda(diffusion, t), prediction.x_0), *past][:UNIPC_ORDER]
        order = min(len(past), len(pairs) - index)
        step = _unipc_step(diffusion, x, past[:order], t, t_prev)
        x, correct = step(None), step
    return x


def _unipc_step(diffusion: GaussianDiffusion, x: Tensor, past: list[tuple[float, Tensor]], t: int, t_prev: int):
    """The step from x, as a function of the x_0 found at its end: UniC given one, UniP given None."""
    (start, x_0), *earlier = past
    end = _lambda(diffusion, t_prev)
    h = end - start
    base = ode_step(diffusion, x, x_0, t, t_prev)
    scale = -_signal(diffusion, t_prev) * math.expm1(-h)
    positions = [(other - start) / h for other, _ in earlier]  # r_k: where the others lie, in units of the step
    differences = [(other_x_0 - x_0) / r for r, (_, other_x_0) in zip(positions, earlier)]

    def step(x_0_end: Tensor | None) -> Tensor:
        places = positions if x_0_end is None else [*positions, 1.0]
        terms = differences if x_0_end is None else [*differences, x_0_end - x_0]
        if not terms:
            return base
        return base + scale * sum(weight * term for weight, term in zip(_unipc_weights(places, h), terms))

    return step


def _unipc_weights(places: list[float], h: float) -> list[float]:
    """Zhao et al. 2023, Theorem 3.1: the weights that make the step exact for polynomials in lambda, with B(h) = e^h - 1."""
    if len(places) == 1:
        return [0.5]  # as the paper takes it, for any B
    rows, right = [], []
    phi, factorial = math.expm1(-h) / -h - 1, 1.0  # phi_2(-h) times h, then phi_3 ...
    for power in range(len(places)):
        rows.append([place**power for place in places])
        right.append(phi * factorial / math.expm1(-h))
        factorial *= power + 2
        phi = phi / -h - 1 / factorial
    matrix, vector = torch.tensor(rows, dtype=torch.float64), torch.tensor(right, dtype=torch.float64)
    return torch.linalg.solve(matrix, vector).tolist()


def ode_step(diffusion: GaussianDiffusion, x: Tensor, x_0: Tensor, t: int, t_prev: int) -> Tensor:
    """The probability-flow ODE from x at t to t_prev, exact for a constant x_0: DDIM's step, DPM-Solver++ Eq. 8 at k = 1.

    signal_prev x_0 + sigma_prev noise, with the noise that leads from x_0 to x.
    """
    ratio = _sigma(diffusion, t_prev) / _sigma(diffusion, t)
    return ratio * x + (_signal(diffusion, t_prev) - ratio * _signal(diffusion, t)) * x_0


SAMPLERS = {"DDPM": ddpm, "DDIM": ddim, "DPMPP": dpmpp, "HEUN": heun, "UNIPC": unipc, "EDM": edm, "CM": cm}


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
    (float32 at least). `noise_like` supplies the fresh noise, and is called only where the variance is not zero.
    `callback(index, t, t_prev, x_t, prediction)` is told of each of the steps before it is taken. `pairs` replaces the
    jumps that `sample_info` names; the first may begin below T-1, with x_T being noised only that far.

    ValueError if `sample_info` asks for more steps than the T of `diffusion`, or takes each several times, which is
    `sampling.inpainting`'s to do.
    """
    if sample_info.resamplings != 1:
        raise ValueError(f"{sample_info} takes each step {sample_info.resamplings} times, which is for filling in pictures")
    if pairs is None:
        pairs = sample_info.pairs_on(diffusion)
    x = x_T if x_T.dtype == torch.float64 else x_T.float()
    sampler = SAMPLERS[sample_info.method]
    return sampler(_at_int_t(model), diffusion, x, pairs, sample_info.eta, noise_like, callback or _no_callback)


@torch.no_grad()
def encode(
    model: Callable[[Tensor, Tensor], Tensor],
    diffusion: GaussianDiffusion,
    x_0: Tensor,
    pairs: list[tuple[int, int]],
    *,
    callback: Callback | None = None,
) -> Tensor:
    """DDIM backwards (Song et al. 2021, Sec. 4.3): pictures (B, C, H, W) in [-1, 1] -> the x_T from which `ddim` draws them.

    Walks `pairs` from the clean end up, each jump with the prediction at its lower end; clean pictures are shown to the
    network as t = 0. The estimates are clipped as on the way down. More, shorter jumps lose less. `callback` is told of each
    jump before it is taken.

    A clean picture has more signal than x at t = 0: an exact estimate takes the surplus for noise, (1 - s) / sqrt(1 - s^2) x_0
    with s = sqrt(alpha_bar_0), which is 0.003 x_0 for 1,000 steps of the cosine schedule. To begin at s x_0 instead was found
    no better.
    """
    network = _at_int_t(model)
    x = x_0 if x_0.dtype == torch.float64 else x_0.float()
    for index, (t, t_prev) in enumerate(reversed(pairs)):
        seen_at = max(t_prev, 0)
        prediction = diffusion.predict(network(x, seen_at), x, seen_at)
        if callback is not None:
            callback(index, t, t_prev, x, prediction)
        x = diffusion.q_sample(prediction.x_0, t, prediction.noise)
    return x


def _at_int_t(model: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, int], Tensor]:
    """`model` as the samplers call it: one t for all pictures, and the output in the state's precision.

    The tensor of timesteps also carries that t as its attribute `number`: to read it from a GPU would be to wait for the GPU.
    """

    def network(x_t: Tensor, t: int) -> Tensor:
        times = torch.full((len(x_t),), t, device=x_t.device)
        times.number = t
        return model(x_t, times).to(x_t.dtype)

    return network


def _no_callback(index: int, t: int, t_prev: int, x_t: Tensor, prediction: Prediction) -> None:
    pass


def _signal(diffusion: GaussianDiffusion, t: int) -> float:
    return math.sqrt(diffusion.alpha_bar(t))


def _sigma(diffusion: GaussianDiffusion, t: int) -> float:
    return math.sqrt(1 - diffusion.alpha_bar(t))


def _lambda(diffusion: GaussianDiffusion, t: int) -> float:
    """log(signal / sigma) at t >= 0, see `half_log_snr`."""
    signal = _signal(diffusion, t)
    return max(LEAST_HALF_LOG_SNR, math.log(signal / _sigma(diffusion, t))) if signal > 0 else LEAST_HALF_LOG_SNR
