"""The folder of single pictures that `--save_images` writes, by seed: an interrupted drawing goes on from there."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.errors import RequestError


class KeptPictures:
    """`folder`/000037.png is the picture of seed 37; `texts` says, by the seed, what a PNG carries (see `Model.texts`)."""

    def __init__(self, folder: Path, texts: Callable[[int], dict[str, str]]):
        self.folder = folder
        self.texts = texts
        self.drawn_by = texts(0)["drawn_by"]

    def check(self) -> None:
        """RequestError if the pictures in the folder were drawn otherwise: two kinds are never mixed."""
        for path in sorted(self.folder.glob("*.png"))[:1]:
            self._read(path)

    def files(self, seeds: Sequence[int], pictures: Tensor) -> list[tuple[Path, Tensor, dict[str, str]]]:
        """What `save_pngs` is to write of the drawn `pictures`, uint8 (N, C, H, W)."""
        return [(self._path(seed), picture, self.texts(seed)) for seed, picture in zip(seeds, pictures)]

    def read(self, seeds: Sequence[int]) -> Tensor | None:
        """The pictures of `seeds` that an earlier call left, uint8 (N, C, H, W); None unless all are there, whole."""
        pictures = []
        for seed in seeds:
            picture = self._read(self._path(seed))
            if picture is None:
                return None
            pictures.append(picture)
        return torch.stack(pictures)

    def _path(self, seed: int) -> Path:
        return self.folder / f"{seed:06d}.png"

    def _read(self, path: Path) -> Tensor | None:
        """A picture, uint8 (C, H, W); None if it is not there, whole. RequestError if it was drawn otherwise."""
        try:
            with Image.open(path) as image:
                image.load()
                found = getattr(image, "text", {}).get("drawn_by", "something unknown")
                picture = torch.from_numpy(np.atleast_3d(np.array(image)).transpose(2, 0, 1))
        except (OSError, SyntaxError):  # missing, or not whole: Pillow raises either
            return None
        if found != self.drawn_by:
            raise RequestError(
                f"{path} was drawn by {found}, not by {self.drawn_by}: move that folder away, or choose another --save_dir"
            )
        return picture
