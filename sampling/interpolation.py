"""Real pictures through the noise and back: from one to another (DDPM's Figure 8), and to their latents (DDIM's Sec. 5.4)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from datasets import to_float, to_uint8
from diffusion import GaussianDiffusion, SampleInfo, encode, pairs_from, sample
from diffusion.samplers import Callback
from sampling.drawing import batches_of, counting
from sampling.network import Network, sampling_network
from utils.seeds import PictureNoise, generator

MODES = ("lerp", "slerp", "ddim")


def pick(picture_num: int, seeds: Sequence[int], count: int) -> Tensor:
    """`count` different pictures for each seed, depending on that seed alone: (count, len(seeds)) int64 of indices.

    `picture_num` is at least `count`.
    """
    picks = [torch.randperm(picture_num, generator=generator("cpu", "pick", seed))[:count] for seed in seeds]
    return torch.stack(picks, dim=1)


def lerp(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """(1 - c) a + c b; a, b: (B, C, H, W), c: (B, 1, 1, 1) in [0, 1]."""
    return (1 - c) * a + c * b


def slerp(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Along the great circle from a to b (Shoemake 1985): independent noises keep their variance all the way, as lerp's do not.

    (sin((1 - c) w) a + sin(c w) b) / sin(w), w the angle between the two as vectors. Shapes as `lerp`. (A straight mix of
    two independent unit noises has variance (1 - c)^2 + c^2: a standard deviation of 0.71 half way.)
    """
    cosine = torch.cosine_similarity(a.flatten(1), b.flatten(1)).clamp(-1, 1).view(-1, 1, 1, 1)
    angle = cosine.acos()
    curved = (torch.sin((1 - c) * angle) * a + torch.sin(c * angle) * b) / torch.sin(angle)
    return torch.where(angle.sin() < 1e-4, lerp(a, b, c), curved)


def interpolate(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    first: Tensor,
    second: Tensor,
    *,
    mode: str,
    seeds: Sequence[int],
    coefficients: Sequence[float],
    noise_steps: int,
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], object],
    labels: tuple[Tensor, Tensor] | None = None,
    num_classes: int = 0,
) -> Tensor:
    """What lies between the pictures of each pair: uint8 (coefficients, pairs, C, H, W), on the CPU.

    first, second: uint8 (pairs, C, H, W), x_0 and x_0' below. For each coefficient c, `noise_steps` (1 to T) steps of noise
    up, at x_t, a mixture is made, and denoised with the jumps of `info` that lie below:
        lerp   of q_sample(x_0, n) and q_sample(x_0', n') (Ho et al. 2020, Sec. 4.4): straight, noise and all
        slerp  q_sample(lerp(x_0, x_0'), slerp(n, n')): the noise keeps its variance
        ddim   slerp of the latents that `encode` finds (Song et al. 2021, Sec. 5.3); `info` must add no noise
    A pair's noises n, n' are named by its seed and are the same for every coefficient; so is the noise that the sampler
    adds. `advance(n)` is told of every n steps of the samplers. For a network of `num_classes`, `labels` are those of the first
    and of the second pictures, each (pairs,); what lies between is drawn as of the class of the nearer end.
    """
    start = noise_steps - 1
    pairs = pairs_from(start, info.pairs_on(diffusion))
    pictures = (to_float(first.to(device)), to_float(second.to(device)))  # each (pairs, C, H, W)
    classes = (None, None) if labels is None else tuple(side.to(device) for side in labels)

    callback = counting(advance)
    if mode == "ddim":
        ends = [
            encode_all(network, diffusion, info, x_0, pairs, batch_size, callback, label, num_classes)
            for x_0, label in zip(pictures, classes)
        ]
    else:
        ends = [PictureNoise(seeds, end)(x_0) for end, x_0 in zip(("first", "second"), pictures)]

    # Row by row: how far from a pair's first picture to its second, and which pair.
    cells = [(coefficient, column) for coefficient in coefficients for column in range(len(seeds))]
    drawn = []
    for part in batches_of(cells, batch_size):
        columns = [column for _, column in part]
        c = torch.tensor([coefficient for coefficient, _ in part], device=device).view(-1, 1, 1, 1)
        (x_0, x_0_other), (end, end_other) = ([side[columns] for side in sides] for sides in (pictures, ends))
        x_t = mixture(mode, diffusion, start, (x_0, x_0_other), (end, end_other), c)
        noise = PictureNoise([seeds[column] for column in columns])
        nearer = None if labels is None else torch.where(c.flatten() <= 0.5, *(side[columns] for side in classes))
        wrapped = sampling_network(network, diffusion, labels=nearer, num_classes=num_classes, guidance=info.guidance)
        x_0 = sample(wrapped, diffusion, x_t, info, noise_like=noise, pairs=pairs, callback=callback)
        drawn.append(to_uint8(x_0).cpu())
    return torch.cat(drawn).unflatten(0, (len(coefficients), len(seeds)))


def steps_in_all(
    diffusion: GaussianDiffusion, info: SampleInfo, mode: str, noise_steps: int, pair_num: int, num: int
) -> int:
    """How many steps `interpolate` tells of, for `num` pictures of each of `pair_num` pairs, begun at `noise_steps`."""
    jumps = pairs_from(noise_steps - 1, info.pairs_on(diffusion))
    return len(jumps) * pair_num * (num + 2 * (mode == "ddim"))  # ddim encodes both ends as well


def mixture(
    mode: str,
    diffusion: GaussianDiffusion,
    start: int,
    pictures: tuple[Tensor, Tensor],
    ends: tuple[Tensor, Tensor],
    c: Tensor,
) -> Tensor:
    """x_t at t = `start`, (1 - c) of the way from the first picture: see `interpolate`. `ends` are noises, or ddim's latents.

    pictures, ends: two of (B, C, H, W); c: (B, 1, 1, 1).
    """
    if mode == "ddim":
        return slerp(*ends, c)
    if mode == "slerp":
        return diffusion.q_sample(lerp(*pictures, c), start, slerp(*ends, c))
    return lerp(*(diffusion.q_sample(x_0, start, noise) for x_0, noise in zip(pictures, ends)), c)


def encode_all(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    x_0: Tensor,
    pairs: list[tuple[int, int]],
    batch_size: int,
    callback: Callback,
    labels: Tensor | None,
    num_classes: int,
) -> Tensor:
    """`encode`, `batch_size` pictures at a time: (N, C, H, W) in [-1, 1] -> their latents, guided as `info` says."""
    latents = []
    for rows in torch.arange(len(x_0)).split(batch_size):
        part = None if labels is None else labels[rows]
        wrapped = sampling_network(network, diffusion, labels=part, num_classes=num_classes, guidance=info.guidance)
        latents.append(encode(wrapped, diffusion, x_0[rows], pairs, callback=callback))
    return torch.cat(latents)


def reconstruct(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    pictures: Tensor,
    *,
    batch_size: int,
    device: torch.device,
    advance: Callable[[int], object],
    labels: Tensor | None = None,
    num_classes: int = 0,
) -> tuple[Tensor, Tensor]:
    """Pictures encoded by DDIM backwards and drawn again by `info`, which must add no noise.

    pictures: uint8 (N, C, H, W); labels: theirs, (N,), for a network of `num_classes`. Returns the pictures again, uint8 on
    the CPU, and their latents x_T, float on the device.
    """
    pairs = info.pairs_on(diffusion)

    callback = counting(advance)
    labels = None if labels is None else labels.to(device)
    x_0 = to_float(pictures.to(device))
    latents = encode_all(network, diffusion, info, x_0, pairs, batch_size, callback, labels, num_classes)
    again = []
    for rows in torch.arange(len(latents)).split(batch_size):
        part = None if labels is None else labels[rows]
        wrapped = sampling_network(network, diffusion, labels=part, num_classes=num_classes, guidance=info.guidance)
        again.append(to_uint8(sample(wrapped, diffusion, latents[rows], info, pairs=pairs, callback=callback)).cpu())
    return torch.cat(again), latents


def changes(between: Tensor) -> Tensor:
    """How much each picture differs from the next: (R, N, C, H, W) uint8 -> (R - 1, N), root mean square, of 0 to 1."""
    return (between.float() / 255).diff(dim=0).square().flatten(2).mean(dim=2).sqrt()
