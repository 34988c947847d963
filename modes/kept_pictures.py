"""Pictures that are there already: those of `--save_images`, by seed, from which an interrupted drawing goes on, and those of
another request, which are kept."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.errors import RequestError
from utils.files import keep_other
from utils.pictures import save_png


class KeptPictures:
    """`folder`/000037.png is the picture of seed 37; `texts` says, by the seed, what a PNG carries (see `texts_of`)."""

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


def save_sheet(path: Path, sheet: Tensor, texts: Mapping[str, str]) -> Path:
    """`save_png`, which keeps the picture of another request that has this name."""
    keep_other([path], are_of_request([path], texts))
    return save_png(path, sheet, texts)


def are_of_request(paths: Sequence[Path], texts: Mapping[str, str]) -> bool:
    """Whether all PNGs of `paths` that exist carry these `texts`: the same request drawn again takes their place.

    A GIF, which carries none, goes with the PNGs beside it.
    """
    found = [_texts_of(path) for path in paths if path.exists() and path.suffix == ".png"]
    return bool(found) and all(one == texts for one in found)


def _texts_of(path: Path) -> dict[str, str]:
    """What a PNG carries; nothing where it is damaged or none."""
    try:
        with Image.open(path) as image:
            return dict(getattr(image, "text", {}))
    except (OSError, SyntaxError, ValueError):
        return {}
