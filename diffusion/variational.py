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

    A value's bin reaches 1/255 to each side; the first and the last bin reach to infinity.
    """
    half_bin = 1 / 255
    inverse_std = (-log_std).exp()
    upper = _normal_cdf((x_0 - mean + half_bin) * inverse_std)
    lower = _normal_cdf((x_0 - mean - half_bin) * inverse_std)
    upper = torch.where(x_0 > 1 - half_bin, torch.ones_like(upper), upper)
    lower = torch.where(x_0 < -1 + half_bin, torch.zeros_like(lower), lower)
    return (upper - lower).clamp(min=1e-12).log()


def prior_bits(x_0: Tensor, alpha_bar: float) -> Tensor:
    """KL(q(x_T | x_0) || N(0, I)) in bits a dimension, (B,): L_T of DDPM Eq. 5, at the last step's `alpha_bar`."""
    mean = alpha_bar**0.5 * x_0
    variance = torch.full_like(mean, 1 - alpha_bar)
    nats = gaussian_kl(mean, variance, torch.zeros_like(mean), torch.zeros_like(mean))
    return nats.flatten(1).mean(dim=1) / math.log(2)


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))
