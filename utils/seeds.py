"""Randomness as a function: every random number follows from a seed and a name, never from what was drawn before."""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from utils.device import upload


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on `parts` alone, the same on every machine and in every process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(device: torch.device | str, *parts: int | str) -> torch.Generator:
    """A fresh generator on `device`, seeded by `parts`: the (seed, "noise", step) of a batch, say."""
    return torch.Generator(device).manual_seed(derive_seed(*parts))


class PictureNoise:
    """Standard normal noise in which each picture has a stream of its own, named by its seed.

    Calling it with x (B, C, H, W) gives noise of that shape, on x's device and in its dtype, row i from the stream of
    `seeds[i]`: picture 37 meets the same noise in a batch of 1 and of 64. Drawn on the CPU in float32, so that every
    device begins with the same pictures.
    """

    def __init__(self, seeds: Sequence[int], name: str = "picture"):
        """`name` tells the streams of one seed apart."""
        self.streams = [generator("cpu", name, seed) for seed in seeds]

    def __call__(self, x: Tensor) -> Tensor:
        assert len(x) == len(self.streams), (len(x), len(self.streams))
        noise = torch.stack([torch.randn(x.shape[1:], generator=stream) for stream in self.streams])
        return upload(noise, x.device).to(x.dtype)
