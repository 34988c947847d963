"""How pictures of any size come to one shape: scaled, then cropped or padded."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from utils.shapes import size_text

# A picture longer than this times the box that it is to cover is first cut to that about its centre: a strip of one pixel's
# height would otherwise be scaled to gigabytes.
LONGEST = 2
HEAD = 4  # bytes before the pixels of a picture that is to be cropped later, see datasets/crops.py


class Shaping(NamedTuple):
    """What every picture of a set becomes: `height` x `width` pixels of 1 (grey) or 3 (RGB) `channels`.

    crop: "center"; "random", which is cut only when a batch is made; "none": padded with black about the centre.
    resize: what is done before that. None: the picture is scaled to cover height x width, with crop none to fit into it. N: its
    shorter side becomes N, with crop none its longer one. (H, W): it becomes just that, whatever its proportions.
    """

    channels: int
    height: int
    width: int
    crop: str = "center"
    resize: int | tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    @property
    def box(self) -> tuple[int, int]:
        """Height and width that a picture is scaled to cover, or to fit into, or just to."""
        if self.resize is None:
            return self.height, self.width
        return (self.resize, self.resize) if isinstance(self.resize, int) else self.resize

    @property
    def is_exact(self) -> bool:
        """Whether a picture is scaled to the box whatever its proportions."""
        return isinstance(self.resize, tuple)

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of what is kept of a picture: (C, H, W), or, to be cropped later, the length of a slot, see `pack`."""
        if self.crop != "random":
            return self.shape
        height, width = self.box
        return (HEAD + self.channels * height * width * (1 if self.is_exact else LONGEST),)

    @property
    def is_plain(self) -> bool:
        """Whether it is what squares have always been: the centred square, scaled."""
        return self.height == self.width and self.crop == "center" and self.resize is None

    @property
    def name(self) -> str:
        """For the names of files: 3x32, 3x48x64, 1x32-none-28."""
        size = size_text(self.height if self.height == self.width else (self.height, self.width))
        crop = [] if self.crop == "center" else [self.crop]
        resize = [] if self.resize is None else [size_text(self.resize)]
        return "-".join([f"{self.channels}x{size}", *crop, *resize])

    def enlarges(self, height: int, width: int) -> bool:
        """Whether a picture of this size has fewer pixels than are made of it."""
        rows, columns = self.box
        if self.crop == "none" and not self.is_exact:
            return height < rows and width < columns
        return height < rows or width < columns


def shaped(picture: Image.Image, shaping: Shaping) -> np.ndarray:
    """An upright picture of mode L (1 channel) or RGB (3) -> uint8 `shaping.stored`."""
    height, width = shaping.height, shaping.width
    if shaping.crop == "none":
        return _pixels(_padded(_resized(picture, *_fitting(picture, shaping)), height, width))
    if shaping.crop == "center" and shaping.resize is None:
        # Cropped first: the `box` of `resize` would let the filter see what is outside of it.
        return _pixels(_resized(_proportioned(picture, height, width), height, width))
    if not shaping.is_exact:
        picture = _shortened(picture, *shaping.box)
    picture = _resized(picture, *_covering(picture, shaping))
    if shaping.crop == "random":
        return pack(_pixels(picture), shaping.stored)
    # As torchvision's CenterCrop has it.
    top, left = round((picture.height - height) / 2), round((picture.width - width) / 2)
    return _pixels(picture.crop((left, top, left + width, top + height)))


def pack(pixels: np.ndarray, stored: tuple[int, ...]) -> np.ndarray:
    """uint8 (C, H, W) -> its slot, uint8 `stored`, which is (HEAD + C * room,)."""
    channels, height, width = pixels.shape
    slot = np.zeros(stored, np.uint8)
    slot[:HEAD] = *divmod(height, 256), *divmod(width, 256)
    slot[HEAD:].reshape(channels, -1)[:, : height * width] = pixels.reshape(channels, -1)
    return slot


def _pixels(picture: Image.Image) -> np.ndarray:
    """uint8 (C, H, W): a copy, as Pillow's own view cannot be written to, of which torch warns."""
    pixels = np.asarray(picture).reshape(picture.height, picture.width, -1)
    return np.array(pixels.transpose(2, 0, 1), order="C")


def _resized(picture: Image.Image, height: int, width: int) -> Image.Image:
    """Bicubic and antialiased; the very same where the size is right already."""
    if picture.size == (width, height):
        return picture
    return picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def _proportioned(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The largest centred part of the proportions height : width; an odd pixel is left at the right or the bottom."""
    if picture.width * height >= picture.height * width:
        rows, columns = picture.height, max(1, round(picture.height * width / height))
    else:
        rows, columns = max(1, round(picture.width * height / width)), picture.width
    return _middle(picture, rows, columns)


def _shortened(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The centred part of a picture that would be more than LONGEST times as long as the box that it covers."""
    columns = min(picture.width, max(1, LONGEST * width * picture.height // height))
    rows = min(picture.height, max(1, LONGEST * height * picture.width // width))
    return _middle(picture, rows, columns)


def _middle(picture: Image.Image, rows: int, columns: int) -> Image.Image:
    """So many rows and columns from the middle; an odd pixel is left at the right or the bottom."""
    left, top = (picture.width - columns) // 2, (picture.height - rows) // 2
    return picture.crop((left, top, left + columns, top + rows))


def _covering(picture: Image.Image, shaping: Shaping) -> tuple[int, int]:
    """Height and width of the picture once it covers the box, one side just so; for (N, N) those of torchvision's Resize."""
    height, width = shaping.box
    if shaping.is_exact:
        return height, width
    if picture.width * height >= picture.height * width:
        return height, max(width, picture.width * height // picture.height)
    return max(height, picture.height * width // picture.width), width


def _fitting(picture: Image.Image, shaping: Shaping) -> tuple[int, int]:
    """Height and width of the picture once it fits into the box, one side just so."""
    height, width = shaping.box
    if shaping.is_exact:
        return height, width
    if picture.width * height >= picture.height * width:
        return max(1, round(picture.height * width / picture.width)), width
    return height, max(1, round(picture.width * height / picture.height))


def _padded(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The picture in the middle of black; an odd pixel is black at the right or the bottom."""
    canvas = Image.new(picture.mode, (width, height))
    canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return canvas
