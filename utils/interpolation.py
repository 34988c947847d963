"""From one real picture to another, through the noise: DDPM's Figure 8 (Ho et al. 2020, Sec. 4.4)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from datasets import to_float, to_uint8
from diffusion import GaussianDiffusion, SampleInfo, pairs_from, sample, timestep_pairs
from utils.drawing import Network, batches_of
from utils.seeds import PictureNoise, generator


def pick_pairs(picture_num: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Two different pictures for each seed, depending on that seed alone: two (len(seeds),) int64 of indices.

    `picture_num` is at least 2.
    """
    pairs = [torch.randperm(picture_num, generator=generator("cpu", "pair", seed))[:2] for seed in seeds]
    return torch.stack(pairs).unbind(dim=1)


def interpolate(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    first: Tensor,
    second: Tensor,
    *,
    seeds: Sequence[int],
    coefficients: Sequence[float],
    noise_steps: int,
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], object],
) -> Tensor:
    """What lies between the pictures of each pair: uint8 (coefficients, pairs, C, H, W), on the CPU.

    first, second: uint8 (pairs, C, H, W). For each coefficient c the mixture (1 - c) x_0 + c x_0' is noised by `noise_steps`
    steps (1 to T) and denoised with the jumps of `info` that lie below. A pair has one noise, named by its seed, for both
    pictures and every coefficient, so that the mixture is noised just as the network knows it; the noise that the sampler
    adds is shared along the pair too. `advance(n)` is told of every n network calls.
    """
    start = noise_steps - 1
    pairs = pairs_from(start, timestep_pairs(diffusion.timestep_num, info.steps))
    # Row by row: how far from a pair's first picture to its second, and which pair.
    cells = [(coefficient, column) for coefficient in coefficients for column in range(len(seeds))]
    drawn = []
    for part in batches_of(cells, batch_size):
        columns = [column for _, column in part]
        mix = torch.tensor([coefficient for coefficient, _ in part], device=device).view(-1, 1, 1, 1)
        x_0, x_0_other = (to_float(pictures[columns].to(device)) for pictures in (first, second))
        noise = PictureNoise([seeds[column] for column in columns])
        x_t = diffusion.q_sample((1 - mix) * x_0 + mix * x_0_other, start, noise(x_0))

        def callback(index, t, t_prev, x_t, prediction):
            advance(len(x_t))

        x = sample(network, diffusion, x_t, info, noise_like=noise, pairs=pairs, callback=callback)
        drawn.append(to_uint8(x).cpu())
    return torch.cat(drawn).unflatten(0, (len(coefficients), len(seeds)))


def calls_of(info: SampleInfo, timestep_num: int, noise_steps: int) -> int:
    """The network calls that one picture of `interpolate` costs."""
    return len(pairs_from(noise_steps - 1, timestep_pairs(timestep_num, info.steps)))
