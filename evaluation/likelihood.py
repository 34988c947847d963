"""Bits a dimension of real pictures, by the variational bound (Ho et al. 2020, Eq. 5; Nichol and Dhariwal 2021, Sec. 3)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from datasets import to_float
from diffusion import GaussianDiffusion
from diffusion.variational import prior_bits
from sampling.network import Network, training_network
from utils.seeds import PictureNoise, generator


class Bound(NamedTuple):
    """The parts of the bound on -log2 p(x_0), in bits a dimension; N pictures, strata of timesteps.

    decoder: (N,), the term of t = 0. terms: (N, K), one term from each stratum, not yet times its width. prior: (N,), how
    much of the picture is left at t = T - 1. strata: the K ranges that share out the timesteps 1 to T - 1.
    """

    decoder: Tensor
    terms: Tensor
    prior: Tensor
    strata: list[range]

    def totals(self) -> Tensor:
        """The bound of each picture, (N,): an unbiased estimate, as each stratum's timestep is drawn uniformly from it."""
        return self.decoder + self.contributions().sum(dim=1) + self.prior

    def contributions(self) -> Tensor:
        """What each stratum adds to the bound, (N, K): its term times the number of its timesteps."""
        return self.terms * torch.tensor([len(stratum) for stratum in self.strata], dtype=self.terms.dtype)

    def density(self) -> Tensor:
        """The contributions for each doubling of t, (N, K): over a logarithmic axis the area below them is their sum."""
        octaves = [math.log2(stratum.stop / stratum.start) for stratum in self.strata]
        return self.contributions() / torch.tensor(octaves, dtype=self.terms.dtype)


def make_strata(timestep_num: int, count: int) -> list[range]:
    """The timesteps 1 to T - 1 in `count` ranges (1 to T - 1 of them) whose ends grow geometrically.

    The terms fall steeply with t: the first ranges hold one timestep each, which makes their terms exact.
    """
    assert 1 <= count < timestep_num, (count, timestep_num)
    strata, start = [], 1
    for left in range(count, 0, -1):
        end = round(start * (timestep_num / start) ** (1 / left))
        end = min(max(end, start + 1), timestep_num - (left - 1))
        strata.append(range(start, end))
        start = end
    return strata


def variational_bound(
    network: Network,
    diffusion: GaussianDiffusion,
    pictures: Tensor,
    seeds: range,
    strata: list[range],
    device: torch.device,
    advance: Callable[[int], object] | None = None,
    labels: Tensor | None = None,
) -> Bound:
    """The bound for uint8 `pictures` (N, C, H, W) at t = 0, at one timestep from each of `strata`, and at the prior.

    Picture i's timesteps and noise follow from `seeds[i]` alone. x_0 is clipped as `clip_denoised` says, as when drawing.
    `advance` is told the pictures of each network call. `labels`: the pictures', (N,); None: the null label for all.
    """
    network = training_network(network, diffusion, labels=None if labels is None else labels.to(device))
    x_0 = to_float(pictures.to(device))
    noise_like = PictureNoise(list(seeds), "likelihood")
    places = torch.stack([torch.rand(len(strata), generator=generator("cpu", "strata", seed)) for seed in seeds])
    terms = []
    with torch.inference_mode():
        for k, stratum in enumerate([range(1), *strata]):
            if k == 0:
                t = torch.zeros(len(x_0), dtype=torch.long)
            else:
                t = stratum.start + (places[:, k - 1] * len(stratum)).long().clamp(max=len(stratum) - 1)
            t = t.to(device)
            x_t = diffusion.q_sample(x_0, t, noise_like(x_0))
            terms.append(diffusion.bound_terms(network(x_t, t), x_0, x_t, t, clip=True).double().cpu())
            if advance is not None:
                advance(len(x_0))
    prior = prior_bits(x_0.cpu().double(), diffusion.alpha_bar(diffusion.timestep_num - 1))
    return Bound(terms[0], torch.stack(terms[1:], dim=1), prior, strata)
