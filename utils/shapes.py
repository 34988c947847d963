"""The size of pictures as the settings and the command line write it: N for N x N pixels, or [HEIGHT, WIDTH]."""

from argparse import ArgumentTypeError
from collections.abc import Sequence

Size = int | Sequence[int]


def sides(size: Size) -> tuple[int, int]:
    """Height and width."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def size_text(size: Size) -> str:
    """As --image_size takes it: 28, or 48x64."""
    return str(size) if isinstance(size, int) else "x".join(map(str, size))


def size_of_text(text: str) -> int | list[int]:
    """What `size_text` wrote, as the settings hold it: one number for squares. ValueError for anything else."""
    numbers = [int(number) for number in text.lower().split("x")]
    height, width = numbers * 2 if len(numbers) == 1 else numbers
    return height if height == width else [height, width]


def size_argument(text: str) -> int | list[int]:
    """`size_of_text` of what the command line was given; ArgumentTypeError, in words, for anything else."""
    try:
        return size_of_text(text)
    except ValueError:
        raise ArgumentTypeError(f"neither a whole number nor HEIGHTxWIDTH: {text!r}") from None


def check_resize(image_size: Size, crop: str, resize: Size | None) -> None:
    """ValueError, saying what would fit, unless a picture scaled by `resize` holds the crop, or fits into the padding."""
    if resize is None:
        return
    height, width = sides(image_size)
    said, wanted = f"data.resize {_written(resize)}", f"image_size {_written(image_size)}"
    if isinstance(resize, int):
        least, most = max(height, width), min(height, width)
        if crop == "none" and resize > most:
            raise ValueError(f"{said}, the longer side with crop none, exceeds {wanted}: it must be at most {most}")
        if crop != "none" and resize < least:
            raise ValueError(f"{said}, the shorter side, is less than {wanted}: it must be at least {least}")
        return
    if crop == "none" and (resize[0] > height or resize[1] > width):
        raise ValueError(f"{said} exceeds {wanted}, which is padded with crop none: neither side may be larger")
    if crop != "none" and (resize[0] < height or resize[1] < width):
        raise ValueError(f"{said} is less than {wanted}, which is cropped from it: neither side may be smaller")
    if crop == "random" and tuple(resize) == (height, width):
        raise ValueError(f"{said} leaves a random crop nothing to choose: make it larger than {wanted}")


def _written(size: Size) -> str:
    return str(size if isinstance(size, int) else list(size))
