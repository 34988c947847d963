"""From seeds to finished pictures: what both scripts do with `diffusion.sample`."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from datasets import to_uint8
from diffusion import GaussianDiffusion, Prediction, SampleInfo, sample
from diffusion.samplers import Callback
from sampling.network import Network, sampling_network
from utils.errors import RequestError
from utils.seeds import PictureNoise


class Frames:
    """A `sample` callback that keeps the first `count` pictures at a few moments of the denoising, as uint8 on the CPU.

    moments: the numbers of steps taken by then, rising from 0, pure noise, to all of them; see `progress_moments`. The last
    frame is given by `finish`.
    """

    def __init__(self, moments: Sequence[int], count: int):
        self.moments = list(moments)
        self.count = count
        self.kept: list[list[Tensor]] = [[] for _ in self.moments]  # a moment -> its pictures, batch by batch

    def __call__(self, index: int, t: int, t_prev: int, x_t: Tensor, prediction: Prediction) -> None:
        if index in self.moments:
            kept = self.kept[self.moments.index(index)]
            room = self.count - sum(map(len, kept))  # a batch may come in parts
            if room > 0:
                kept.append(to_uint8(x_t[:room]).cpu())

    def finish(self, pictures: Tensor) -> None:
        """Takes the finished pictures (B, C, H, W) of the batch that was being drawn."""
        room = self.count - sum(map(len, self.kept[-1]))
        if room > 0:
            self.kept[-1].append(pictures[:room])

    def pictures(self) -> list[Tensor]:
        """For each moment, from noise to finished: (count or fewer, C, H, W)."""
        return [torch.cat(batches) for batches in self.kept]


def progress_moments(diffusion: GaussianDiffusion, info: SampleInfo, columns: int) -> list[int]:
    """After which steps of `info` to look at the denoising, so that each of `columns` pictures (or fewer, where there are fewer
    steps) differs from the one before by as much: numbers of steps, from 0 to all of them.

    x_t = cos(a) x_0 + sin(a) noise, where cos(a) = sqrt(alpha_bar_t): for both of one variance the picture changes by as
    much as the angle a does, whatever the schedule, the sampler and its timesteps are. So the moments are those nearest to
    equal parts of the angle's way from the first t to 0. (At fixed fractions of the steps, linspace(0, 1, n) ** 0.3, with the
    cosine schedule a third of all the change lay in the first of 15 jumps.)
    """
    pairs = info.pairs_on(diffusion)
    signal = torch.tensor([diffusion.alpha_bar(t) for t, _ in pairs] + [1.0], dtype=torch.float64).sqrt()
    angle = signal.clamp(0, 1).acos()  # (steps + 1,), falling to 0
    if len(angle) <= columns:
        return list(range(len(angle)))
    wanted = torch.linspace(1, 0, columns, dtype=torch.float64) * angle[0]
    return sorted(set((angle[:, None] - wanted).abs().argmin(dim=0).tolist()))


def draw(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    device: torch.device,
    callback=None,
    *,
    labels: Sequence[int] | None = None,
    num_classes: int = 0,
    pad_to: int = 0,
) -> Tensor:
    """One picture a seed, each depending on its seed and label alone: uint8 (len(seeds), *shape) on the CPU.

    `shape` is (C, H, W). `labels`: a class a seed, for a network of `num_classes`; see `labels_for`.
    `pad_to`: see `sampling_network`.
    Where the device has too little memory for so many at once, they are drawn in halves, and those in halves; `callback` is
    then told of each part. RequestError if one picture does not fit.
    """
    noise = PictureNoise(list(seeds))
    begun = False

    def told(*step) -> None:
        nonlocal begun
        if callback is not None:
            begun = True
            callback(*step)

    try:
        x_T = noise(torch.empty(len(seeds), *shape, device=device))
        asked_for = sampling_network(
            network,
            diffusion,
            labels=None if labels is None else torch.tensor(labels, device=device),
            num_classes=num_classes,
            guidance=info.guidance,
            pad_to=pad_to,
        )
        return to_uint8(sample(asked_for, diffusion, x_T, info, noise_like=noise, callback=told)).cpu()
    except torch.OutOfMemoryError:
        if begun or len(seeds) == 1:  # once told of a step, the callback cannot be told that it was not
            raise RequestError(
                f"{device} has too little memory to draw {len(seeds)} pictures of {shape[1]}x{shape[2]} at a time; "
                "lower --batch_size, or sample.batch_size"
            ) from None
    x_T = None  # it must not be held while the halves are drawn
    half = (len(seeds) + 1) // 2
    parts = []
    for rows in (slice(0, half), slice(half, None)):
        part = None if labels is None else labels[rows]
        parts.append(
            draw(network, diffusion, info, seeds[rows], shape, device, callback, labels=part, num_classes=num_classes)
        )
    return torch.cat(parts)


def batches_of(seeds: Sequence[int], batch_size: int) -> Iterator[Sequence[int]]:
    """`seeds` in slices of `batch_size`; the last may be shorter."""
    for start in range(0, len(seeds), batch_size):
        yield seeds[start : start + batch_size]


def counting(advance: Callable[[int], object]) -> Callback:
    """A `sample` callback that tells `advance` of each step of each picture."""

    def callback(index: int, t: int, t_prev: int, x_t: Tensor, prediction: Prediction) -> None:
        advance(len(x_t))

    return callback
