"""How the benchmarks' contestants are given their pictures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets import to_float
from utils.pictures import save_png


def resident(images: np.ndarray, batch_size: int, device: str) -> Iterator[Tensor]:
    """Endless random batches of a set that lies on the device: (B, C, H, W) in [-1, 1]."""
    pictures = torch.from_numpy(np.array(images)).to(device)
    while True:
        chosen = torch.randint(0, len(pictures), (batch_size,), device=device)
        yield to_float(pictures[chosen])


def loader(images: np.ndarray, batch_size: int) -> Iterator[Tensor]:
    """Endless batches as the diffusers example makes them: a DataLoader without workers over Pillow pictures."""
    from torch.utils.data import DataLoader
    from torchvision import transforms

    size, channels = images.shape[2], images.shape[1]
    augment = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.Resize(size, interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.RandomCrop(size),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * channels, [0.5] * channels),
        ]
    )
    pictures = [augment.transforms[0](np.moveaxis(picture, 0, -1)) for picture in images]
    augment.transforms = augment.transforms[1:]
    while True:
        yield from DataLoader(
            pictures,
            batch_size,
            shuffle=True,
            collate_fn=lambda batch: torch.stack([augment(p) for p in batch]),
            drop_last=True,
        )


def picture_folder(images: np.ndarray, folder: Path) -> Path:
    """Writes each picture as a PNG into `folder`, for the peers that read files."""
    for i, picture in enumerate(images):
        save_png(folder / f"{i:05d}.png", torch.from_numpy(np.array(picture)))
    return folder
