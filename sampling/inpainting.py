"""Real pictures drawn anew: where they are not known (RePaint, Lugmayr et al. 2022), or from noise (SDEdit, Meng et al. 2022).

One picture may be drawn several times: the noise of each is named by the seed of its row, see `result_seeds`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from datasets import to_float, to_uint8
from diffusion import GaussianDiffusion, SampleInfo, pairs_from, sample
from diffusion.samplers import Callback
from sampling.drawing import batches_of, counting
from sampling.network import Known, Network, sampling_network
from utils.seeds import PictureNoise, derive_seed


def result_seeds(seeds: Sequence[int], results: int) -> list[int]:
    """The seed of the noise of each result, for pictures of these seeds: first one of each picture, then a second ..."""
    return [derive_seed(seed, "result", number) for number in range(results) for seed in seeds]


def inpaint(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    pictures: Tensor,
    masks: Tensor,
    *,
    seeds: Sequence[int],
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], object],
    labels: Tensor | None = None,
    num_classes: int = 0,
) -> Tensor:
    """`pictures` with new pixels where `masks` is True, and elsewhere their own, byte for byte: uint8 (N, C, H, W) on the CPU.

    pictures: uint8 (N, C, H, W) on the CPU; masks: bool (N, 1, H, W); seeds: those of the noise, N; labels: int64 (N,), for a
    network of `num_classes`. `advance(n)` is told of every n steps of the sampler.
    """

    callback, drawn = counting(advance), []
    for part, x_0, label, noise in _batches(pictures, labels, seeds, batch_size, device):
        known = Known(x_0, ~masks[part].to(device), noise)
        wrapped = sampling_network(
            network, diffusion, labels=label, num_classes=num_classes, guidance=info.guidance, known=known
        )
        x_T = noise(torch.empty_like(x_0))
        drawn.append(to_uint8(resample(wrapped, diffusion, x_T, info, noise, callback)).cpu())
    return torch.where(masks, torch.cat(drawn), pictures)


def resample(
    network: Network,
    diffusion: GaussianDiffusion,
    x_T: Tensor,
    info: SampleInfo,
    noise_like: Callable[[Tensor], Tensor],
    callback: Callback | None = None,
) -> Tensor:
    """RePaint's Algorithm 1 with any sampler: x_T (B, C, H, W), standard normal -> x_0, of a network that knows some pixels.

    `network` is `sampling_network` with `known`. After each jump to t_prev, `info.resamplings` - 1 times, noise leads back to
    t by q(x_t | x_{t_prev}) and the jump is taken again, so that what is filled in can follow what is known. A jump is
    one of the sampler's pairs: T / S timesteps of training, where the paper takes a jump length of 10 of its 250.

    Other than in the paper, whose sampler is DDPM, what is known is put in at the call of the network rather than into the
    state after the step: the network sees the same, and solvers that remember earlier steps (DPMPP, UNIPC) stay what they are.
    Where there are resamplings they take each jump alone, as of first order: what they remembered, the jump back has changed.
    """
    pairs = info.pairs_on(diffusion)
    once = replace(info, resamplings=1)
    if info.resamplings == 1:
        return sample(network, diffusion, x_T, once, noise_like=noise_like, pairs=pairs, callback=callback)
    x, at = x_T, pairs[0][0]
    for t, t_prev in info.walk(pairs):
        if t > at:
            x = noised_back(diffusion, x, at, t, noise_like)
        x = sample(network, diffusion, x, once, noise_like=noise_like, pairs=[(t, t_prev)], callback=callback)
        at = t_prev
    return x


def noised_back(
    diffusion: GaussianDiffusion, x: Tensor, t_prev: int, t: int, noise_like: Callable[[Tensor], Tensor]
) -> Tensor:
    """x_t drawn from q(x_t | x_{t_prev}), t_prev < t: DDPM Eq. 2, with the alpha of the whole jump. Both (B, C, H, W)."""
    kept = diffusion.alpha_bar(t) / diffusion.alpha_bar(t_prev)
    return kept**0.5 * x + (1 - kept) ** 0.5 * noise_like(x)


def steps_of_noise(strength: float, timestep_num: int) -> int:
    """How many of the T = `timestep_num` steps of noise a `strength`, above 0 and at most 1, is: 1 to T."""
    return max(1, round(strength * timestep_num))


def edit_pairs(diffusion: GaussianDiffusion, info: SampleInfo, strength: float) -> list[tuple[int, int]]:
    """The jumps of `info` that lie below `strength` of the noise, the first one from there."""
    start = steps_of_noise(strength, diffusion.timestep_num) - 1
    return pairs_from(start, info.pairs_on(diffusion))


def edit(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    pictures: Tensor,
    *,
    strength: float,
    seeds: Sequence[int],
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], object],
    labels: Tensor | None = None,
    num_classes: int = 0,
) -> Tensor:
    """SDEdit (Meng et al. 2022, Sec. 3): `pictures` noised to t = `strength` T - 1 and denoised, uint8 (N, C, H, W).

    Little strength keeps the picture, much of it keeps little more than where is light and where is dark. Otherwise as
    `inpaint`; the steps are those of `edit_pairs`.
    """
    pairs = edit_pairs(diffusion, info, strength)
    callback, drawn = counting(advance), []
    for _, x_0, label, noise in _batches(pictures, labels, seeds, batch_size, device):
        wrapped = sampling_network(network, diffusion, labels=label, num_classes=num_classes, guidance=info.guidance)
        x_t = diffusion.q_sample(x_0, pairs[0][0], noise(x_0))
        drawn.append(to_uint8(sample(wrapped, diffusion, x_t, info, noise_like=noise, pairs=pairs, callback=callback)).cpu())
    return torch.cat(drawn)


def _batches(
    pictures: Tensor, labels: Tensor | None, seeds: Sequence[int], batch_size: int, device: torch.device
) -> Iterator[tuple[slice, Tensor, Tensor | None, PictureNoise]]:
    """Which rows of `pictures`, these in [-1, 1] on the device, their labels there, and their noise."""
    for rows in batches_of(range(len(pictures)), batch_size):
        part = slice(rows[0], rows[-1] + 1)
        label = None if labels is None else labels[part].to(device)
        yield part, to_float(pictures[part].to(device)), label, PictureNoise(seeds[part])
