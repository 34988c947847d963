"""Batch k as a function of (seed, k): nothing to save, nothing to fast-forward, the same on every device."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import psutil
import torch
from torch import Tensor

from datasets.crops import crop, draw_places
from utils.device import upload
from utils.seeds import generator

MAPPED_BYTES = 2**30  # from here on the CPU reads the mapped file: copying it would take seconds, and its memory twice


def resident_limit(device: torch.device) -> int:
    """How many bytes of pictures may stay on the device: a quarter of a GPU's free memory, or of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 4
    limit = psutil.virtual_memory().total // 4
    return min(limit, MAPPED_BYTES) if device.type == "cpu" else limit


class Batch(NamedTuple):
    """Some rows of a batch, on the device: images uint8 (R, C, H, W), labels int64 (R,) or None."""

    images: Tensor
    labels: Tensor | None


class Batches:
    """An endless stream of batches: `batches[k]` is batch k, for every k >= 0; or those of its rows that are this process's.

    The pictures are the epochs' permutations, one after another, cut into batches: each epoch shows every picture once,
    every batch is full, and a set may be smaller than a batch. A set of at most `resident_bytes` (None:
    `resident_limit`) is kept on the device; a larger one is read from `images`, batch k + 1 by a thread while batch k
    is in use.
    """

    def __init__(
        self,
        images: np.ndarray,
        batch_size: int,
        seed: int,
        horizontal_flip: bool,
        device: torch.device,
        *,
        labels: np.ndarray | None = None,
        cropped_to: tuple[int, int, int] | None = None,
        rows: slice = slice(None),
        resident_bytes: int | None = None,
    ):
        """`images` is uint8 (N, C, H, W), N >= 1, and `labels` int64 (N,), such as `ImageDataset.load` gives; half of a
        batch's pictures, by chance, are mirrored where `horizontal_flip` says so. `cropped_to`, (C, H, W): `images` are slots,
        (N, K), of which each batch has other crops. `rows` are those of each batch that are this process's share."""
        wanted_dim = 4 if cropped_to is None else 2
        assert images.dtype == np.uint8 and images.ndim == wanted_dim and len(images) >= 1, (images.dtype, images.shape)
        assert labels is None or (labels.dtype == np.int64 and labels.shape == (len(images),)), (labels, images.shape)
        assert batch_size >= 1, batch_size
        device = torch.device(device)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())  # the thread has a current device of its own
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.horizontal_flip, self.cropped_to, self.device, self.rows = horizontal_flip, cropped_to, device, rows
        self._labels = None if labels is None else torch.from_numpy(labels)  # (N,), on the CPU
        self._orders: dict[int, Tensor] = {}
        self._resident: Tensor | None = None  # (N, C, H, W) or (N, K)
        if images.nbytes <= (resident_limit(device) if resident_bytes is None else resident_bytes):
            self._resident = self._to_device()
        else:
            # A thread's current CUDA device is the first one, where pinning memory would make a context for nothing.
            start = {"initializer": torch.cuda.set_device, "initargs": (device,)} if device.type == "cuda" else {}
            self._reader = ThreadPoolExecutor(1, thread_name_prefix="batches", **start)
            self._ahead: tuple[int, Future[Tensor]] | None = None  # the batch that is being read, and its number

    def indices(self, k: int) -> Tensor:
        """Which pictures batch k shows, `rows` of it: int64 (R,), on the CPU."""
        assert k >= 0, k
        position, end, parts = k * self.batch_size, (k + 1) * self.batch_size, []
        while position < end:
            epoch, offset = divmod(position, len(self.images))
            parts.append(self._order(epoch)[offset : offset + end - position])
            position += len(parts[-1])
        return torch.cat(parts)[self.rows]

    def flips(self, k: int) -> Tensor:
        """Which of batch k's pictures, `rows` of them, are mirrored: bool (R,), on the CPU."""
        if not self.horizontal_flip:
            return torch.zeros(self.batch_size, dtype=torch.bool)[self.rows]
        return torch.randint(2, (self.batch_size,), generator=generator("cpu", self.seed, "flip", k)).bool()[self.rows]

    def places(self, k: int) -> Tensor:
        """Where batch k's pictures, `rows` of it, are cropped: int64 (R, 2), on the CPU; see `crop`."""
        return draw_places(self.batch_size, generator("cpu", self.seed, "crop", k))[self.rows]

    def examples(self, count: int) -> np.ndarray:
        """The pictures, to look at: uint8 (N, C, H, W). Of slots `count` of them at most, evenly spread, each cropped once."""
        if self.cropped_to is None:
            return self.images
        some = torch.from_numpy(np.array(self.images[:: -(-len(self.images) // count)]))
        return crop(some, draw_places(len(some), generator("cpu", self.seed, "examples")), self.cropped_to).numpy()

    def __getitem__(self, k: int) -> Batch:
        """Batch k, `rows` of it."""
        labels = None if self._labels is None else upload(self._labels[self.indices(k)], self.device)
        return Batch(self._images_of(k), labels)

    def _images_of(self, k: int) -> Tensor:
        """The pictures of batch k, `rows` of it, cropped and flipped as they are to be: uint8 (R, C, H, W) on the device."""
        if self._resident is None:
            pictures = upload(self._read(k), self.device)
        else:
            pictures = self._resident.index_select(0, upload(self.indices(k), self.device))
            if self.cropped_to is not None:
                pictures = crop(pictures, upload(self.places(k), self.device), self.cropped_to)
        if not self.horizontal_flip:
            return pictures
        mirrored = upload(self.flips(k), self.device)[:, None, None, None]  # (R, 1, 1, 1)
        return torch.where(mirrored, pictures.flip(-1), pictures)

    def _order(self, epoch: int) -> Tensor:
        """The epoch's permutation: int64 (N,), drawn on the CPU so that it is the same whatever the device."""
        if epoch not in self._orders:
            if len(self._orders) == 2:  # this epoch's and the one that a batch ends in, or that is read ahead
                del self._orders[next(iter(self._orders))]
            source = generator("cpu", self.seed, "order", epoch)
            self._orders[epoch] = torch.randperm(len(self.images), generator=source)
        return self._orders[epoch]

    def _to_device(self) -> Tensor:
        """The whole set on the device, copied in pieces: the machine may have less memory than its GPU."""
        resident = torch.empty(self.images.shape, dtype=torch.uint8, device=self.device)
        piece = max(1, 2**28 // self.images[0].nbytes)
        for start in range(0, len(self.images), piece):
            rows = np.array(self.images[start : start + piece])  # a copy: torch wants memory that it could write to
            resident[start : start + piece] = torch.from_numpy(rows)
        return resident

    def _read(self, k: int) -> Tensor:
        """Batch k from `images`, cropped, before flips: uint8 (R, C, H, W) on the CPU. Sets the thread to work on the next."""
        if self._ahead is not None and self._ahead[0] == k:
            pictures = self._ahead[1].result()
        else:
            pictures = self._gather(k, self.indices(k))
        # The indices are worked out here, not in the thread: the permutations have one user.
        self._ahead = (k + 1, self._reader.submit(self._gather, k + 1, self.indices(k + 1)))
        return pictures

    def _gather(self, k: int, indices: Tensor) -> Tensor:
        pictures = torch.from_numpy(self.images[indices.numpy()])  # (R, C, H, W), or slots (R, K)
        if self.cropped_to is not None:
            pictures = crop(pictures, self.places(k), self.cropped_to)
        return pictures.pin_memory() if self.device.type == "cuda" else pictures
