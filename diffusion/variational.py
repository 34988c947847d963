"""The terms of the variational bound, in nats for each pixel unless said otherwise (Ho et al. 2020, Eq. 5 and Sec. 3.3)."""

import math

import torch
from torch import Tensor


def gaussian_kl(true_mean: Tensor, true_variance: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(true_mean, true_variance) || N(mean, exp(log_variance))) in nats. A true_variance of 0 counts as 1e-20."""
    log_true = true_variance.clamp(min=1e-20).log()
    quadratic = (log_true - log_variance).exp() + (true_mean - mean).square() * (-log_variance).exp()
    return 0.5 * (quadratic - 1 + log_variance - log_true)


def discretized_gaussian_log_likelihood(x_0: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log probability of the grey values x_0 (256 of them over [-1, 1]) under a Gaussian, in nats: DDPM Eq. 13.

    A value's bin reaches 1/255 to each side; the first and the last bin reach to infinity. Exact however improbable a value
    is: the difference of two normal distribution functions is taken of their logarithms.
    """
    half_bin = 1 / 255
    inverse_std = (-log_std).exp()
    centre, half_width = (x_0 - mean) * inverse_std, half_bin * inverse_std
    # The bin is mirrored into the lower tail, where log_ndtr is exact; in the upper one it is the log of nearly 1.
    below = -centre.abs()
    upper, lower = torch.special.log_ndtr(below + half_width), torch.special.log_ndtr(below - half_width)
    # Two logarithms that differ by less than rounding would make log(0) of it.
    inner = upper + _log1mexp((lower - upper).clamp(max=-torch.finfo(upper.dtype).eps))
    first, last = x_0 < -1 + half_bin, x_0 > 1 - half_bin
    inner = torch.where(first, torch.special.log_ndtr(centre + half_width), inner)
    return torch.where(last, torch.special.log_ndtr(half_width - centre), inner)


def prior_bits(x_0: Tensor, alpha_bar: float) -> Tensor:
    """KL(q(x_T | x_0) || N(0, I)) in bits a dimension, (B,): L_T of DDPM Eq. 5, at the last step's `alpha_bar`."""
    mean = alpha_bar**0.5 * x_0
    variance = torch.full_like(mean, 1 - alpha_bar)
    nats = gaussian_kl(mean, variance, torch.zeros_like(mean), torch.zeros_like(mean))
    return nats.flatten(1).mean(dim=1) / math.log(2)


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, exact at both ends (Maechler 2012)."""
    near_zero = x > -math.log(2)
    # Each branch sees only what it is exact for: the gradient of the other one would be infinite there.
    large = torch.log1p(-x.masked_fill(near_zero, -1.0).exp())
    small = torch.log(-torch.expm1(x.masked_fill(~near_zero, -0.5)))
    return torch.where(near_zero, small, large)
