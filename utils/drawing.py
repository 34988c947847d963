"""From seeds to finished pictures: what both scripts do with `diffusion.sample`."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from datasets import to_uint8
from diffusion import GaussianDiffusion, Prediction, SampleInfo, sample, self_condition
from utils.seeds import PictureNoise

Network = Callable[[Tensor, Tensor], Tensor]


class Frames:
    """A `sample` callback that keeps the first `count` pictures at a few moments of the denoising, as uint8 on the CPU.

    The early steps change little and the late ones much, so the moments are spread coarse to fine: after the fractions
    linspace(0, 1, columns) ** 0.3 of the steps, each once. The first frame is pure noise; the last is given by `finish`.
    """

    def __init__(self, steps: int, count: int, columns: int):
        self.moments = sorted(
            set((torch.linspace(0, 1, columns, dtype=torch.float64) ** 0.3 * steps).round().int().tolist())
        )
        self.steps = steps
        self.count = count
        self.kept: list[list[Tensor]] = [[] for _ in self.moments]  # a moment -> its pictures, batch by batch
        self._room = count

    def __call__(self, index: int, t: int, t_prev: int, x_t: Tensor, prediction: Prediction) -> None:
        if self._room > 0 and index in self.moments:
            self.kept[self.moments.index(index)].append(to_uint8(x_t[: self._room]).cpu())

    def finish(self, pictures: Tensor) -> None:
        """Takes the finished pictures (B, C, H, W) of the batch that was being drawn."""
        if self._room > 0:
            self.kept[-1].append(pictures[: self._room])
            self._room -= len(self.kept[-1][-1])

    def pictures(self) -> list[Tensor]:
        """For each moment, from noise to finished: (count or fewer, C, H, W)."""
        return [torch.cat(batches) for batches in self.kept]


def draw(
    network: Network,
    diffusion: GaussianDiffusion,
    info: SampleInfo,
    seeds: Sequence[int],
    shape: tuple[int, int, int],
    device: torch.device,
    callback=None,
) -> Tensor:
    """One picture a seed, each depending on its seed alone: uint8 (len(seeds), *shape) on the CPU. `shape` is (C, H, W)."""
    noise = PictureNoise(list(seeds))
    x_T = noise(torch.empty(len(seeds), *shape, device=device))
    network = self_condition.for_sampling(network, diffusion)
    return to_uint8(sample(network, diffusion, x_T, info, noise_like=noise, callback=callback)).cpu()


def batches_of(seeds: Sequence[int], batch_size: int) -> Iterator[Sequence[int]]:
    """`seeds` in slices of `batch_size`; the last may be shorter."""
    for start in range(0, len(seeds), batch_size):
        yield seeds[start : start + batch_size]
