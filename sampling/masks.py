"""Which pixels are to be filled in: a shape, a share of them by the seed, or what a picture says."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from datasets.decode import UnreadablePictureError, decode_file, size_of_file
from datasets.shaping import Shaping
from utils.errors import RequestError
from utils.seeds import generator

SHAPES = ("box", "half", "random")
RANDOM_SHARE = 0.75  # of the pixels
WHITE = 128  # from this grey on, a pixel of a mask's file counts as white


def make_masks(spec: str, size: tuple[int, int], seeds: Sequence[int]) -> Tensor:
    """A mask for each seed's picture of `size`, (height, width): bool (len(seeds), 1, H, W), True where it is to be filled in.

    `spec` is --mask. `box`: the centred box of half the height and half the width; `half`: the right half; `random`: 75 % of
    the pixels, which ones follows from the seed; anything else: the path of a picture of that very size, white to be filled,
    black or transparent kept.

    RequestError for a file that is not there or is no picture, of another size, all black or all white; and for a shape that
    leaves nothing to fill, or nothing known, of pictures that are so small.
    """
    height, width = size
    masks = torch.zeros(len(seeds), 1, height, width, dtype=torch.bool)
    if spec == "box":
        rows, columns = (slice((side - side // 2) // 2, (side - side // 2) // 2 + side // 2) for side in size)
        masks[..., rows, columns] = True
    elif spec == "half":
        masks[..., width // 2 :] = True
    elif spec == "random":
        count = round(RANDOM_SHARE * height * width)
        for mask, seed in zip(masks, seeds):
            mask.view(-1)[torch.randperm(height * width, generator=generator("cpu", "mask", seed))[:count]] = True
    else:
        masks |= read_mask(Path(spec), size)
    filled = int(masks[0].sum())
    if filled == 0:
        raise RequestError(
            f"--mask {spec}: nothing is to be filled in; a mask is white there, and black or transparent where pixels are kept"
        )
    if filled == height * width:
        raise RequestError(f"--mask {spec}: nothing is known; a mask is black where pixels are kept (new pictures: random_gen)")
    return masks


def read_mask(path: Path, size: tuple[int, int]) -> Tensor:
    """The mask that the file holds: bool (H, W), True where it is white. RequestError as `make_masks`.

    What is transparent counts as black: where nothing was painted, nothing is to be filled in.
    """
    if not path.is_file():
        raise RequestError(f"--mask {path}: there is no such file, and it is none of {', '.join(SHAPES)}")
    height, width = size
    found = size_of_file(str(path))
    if found is not None and found != (width, height):
        raise RequestError(
            f"--mask {path}: it has {found[1]} x {found[0]} pixels (height x width), and the network's pictures have "
            f"{height} x {width}"
        )
    try:
        pixels = decode_file(str(path), Shaping(1, height, width), background="black")
    except UnreadablePictureError as error:
        raise RequestError(f"--mask {path}: {error}") from None
    return torch.from_numpy(pixels[0] >= WHITE)
