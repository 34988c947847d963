"""Which pixels are to be filled in: a shape, a share of them by the seed, or what a picture says."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from datasets.decode import UnreadablePictureError, decode_file, size_of_file
from utils.errors import RequestError
from utils.seeds import generator

SHAPES = ("box", "half", "random")
RANDOM_SHARE = 0.75  # of the pixels
WHITE = 128  # from this grey on, a pixel of a mask's file counts as white


def make_masks(spec: str, image_size: int, seeds: Sequence[int]) -> Tensor:
    """A mask for each seed's picture: bool (len(seeds), 1, S, S), True where it is to be filled in.

    `spec` is --mask. `box`: the centred square of half the side; `half`: the right half; `random`: 75 % of the pixels,
    which ones follows from the seed; anything else: the path of a picture of that very size, white to be filled, black kept.

    RequestError for a file that is not there or is no picture, of another size, all black or all white; and for a shape that
    leaves nothing to fill, or nothing known, of pictures that are so small.
    """
    masks = torch.zeros(len(seeds), 1, image_size, image_size, dtype=torch.bool)
    if spec == "box":
        side = image_size // 2
        start = (image_size - side) // 2
        masks[..., start : start + side, start : start + side] = True
    elif spec == "half":
        masks[..., image_size // 2 :] = True
    elif spec == "random":
        count = round(RANDOM_SHARE * image_size**2)
        for mask, seed in zip(masks, seeds):
            mask.view(-1)[torch.randperm(image_size**2, generator=generator("cpu", "mask", seed))[:count]] = True
    else:
        masks |= read_mask(Path(spec), image_size)
    filled = int(masks[0].sum())
    if filled == 0:
        raise RequestError(f"--mask {spec}: nothing is to be filled in; a mask is white there, and black where pixels are kept")
    if filled == image_size**2:
        raise RequestError(f"--mask {spec}: nothing is known; a mask is black where pixels are kept (new pictures: random_gen)")
    return masks


def read_mask(path: Path, image_size: int) -> Tensor:
    """The mask that the file holds: bool (S, S), True where it is white. RequestError as `make_masks`."""
    if not path.is_file():
        raise RequestError(f"--mask {path}: there is no such file, and it is none of {', '.join(SHAPES)}")
    size = size_of_file(str(path))
    if size is not None and size != (image_size, image_size):
        raise RequestError(
            f"--mask {path}: it has {size[0]} x {size[1]} pixels, and the network's pictures have {image_size} x {image_size}"
        )
    try:
        pixels = decode_file(str(path), image_size, 1)
    except UnreadablePictureError as error:
        raise RequestError(f"--mask {path}: {error}") from None
    return torch.from_numpy(pixels[0] >= WHITE)
