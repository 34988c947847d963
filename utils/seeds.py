"""Randomness as a function: every random number follows from a seed and a name, never from what was drawn before."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor

from utils.device import upload

# Pictures of the seeds below come from torch's generator, as they always did; see `PictureNoise`.
FIRST_WIDE_SEED = 2**15


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed that depends on `parts` alone, the same on every machine and in every process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(device: torch.device | str, *parts: int | str) -> torch.Generator:
    """A fresh generator on `device`, seeded by `parts`: the (seed, "noise", step) of a batch, say.

    On the CPU torch keeps 32 bits of the seed (mt19937): of 300,000 names some 10 pairs begin alike. For batches that is
    of no consequence; `PictureNoise` has streams that differ.
    """
    return torch.Generator(device).manual_seed(derive_seed(*parts))


class PictureNoise:
    """Standard normal noise in which each picture has a stream of its own, named by its seed.

    Calling it with x (B, C, H, W) gives noise of that shape, on x's device and in its dtype, row i from the stream of
    `seeds[i]`: picture 37 meets the same noise in a batch of 1 and of 64. Drawn on the CPU in float32, so that every
    device begins with the same pictures. Every call is for the same shape.

    No two streams are alike. torch's generator, with its 32 bits, would give the seeds 54656 and 95876 the same noise, so
    only the seeds below FIRST_WIDE_SEED have it, whose streams were found to differ; those from there on have Philox
    (Salmon et al. 2011) with a key of 127 bits.
    """

    def __init__(self, seeds: Sequence[int], name: str = "picture", *, ahead: bool | None = None):
        """`name` tells the streams of one seed apart. `ahead`: draw the next call's noise in a thread, while the device is
        busy with this one's; None: on CUDA, where the CPU has nothing else to do."""
        self.streams = [_stream(name, seed) for seed in seeds]
        self.ahead = ahead
        self._calls = 0
        self._next: Future[Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        assert len(x) == len(self.streams), (len(x), len(self.streams))
        pinned = x.device.type == "cuda"
        noise = self._draw(x.shape, pinned) if self._next is None else self._next.result()
        assert noise.shape == x.shape, (noise.shape, x.shape)
        self._calls += 1
        # A sampler that adds noise asks a second time: the first is for the noise that pictures begin with.
        if self._calls > 1 and (pinned if self.ahead is None else self.ahead):
            self._next = _thread().submit(self._draw, x.shape, pinned)
        return upload(noise, x.device).to(x.dtype)

    def _draw(self, shape: torch.Size, pinned: bool) -> Tensor:
        noise = torch.empty(shape, pin_memory=pinned)
        for row, fill in zip(noise, self.streams):
            fill(row)
        return noise


def stream_key(name: str, seed: int) -> int:
    """All that a picture's noise depends on: 32 bits for torch's generator; for Philox 127, beyond those."""
    if 0 <= seed < FIRST_WIDE_SEED:
        return derive_seed(name, seed) % 2**32  # torch takes no more of it
    digest = hashlib.blake2b(repr((name, seed)).encode(), digest_size=16).digest()
    return int.from_bytes(digest, "big") | 1 << 127


def _stream(name: str, seed: int) -> Callable[[Tensor], object]:
    """What fills float32 tensors on the CPU with standard normal noise, one after the other."""
    key = stream_key(name, seed)
    if key < 2**32:
        source = torch.Generator("cpu").manual_seed(key)
        return lambda row: torch.randn(row.shape, generator=source, out=row)
    normal = np.random.Generator(np.random.Philox(key=key)).standard_normal
    return lambda row: normal(dtype=np.float32, out=row.numpy())


@cache
def _thread() -> ThreadPoolExecutor:
    """The one in which noise is drawn ahead."""
    return ThreadPoolExecutor(1, thread_name_prefix="noise")
