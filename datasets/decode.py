"""One picture, from a file or an array -> uint8 of one shape: upright, on white, grey or RGB; see datasets/shaping.py."""

import io
import os
import struct
import threading
import zlib
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features

from datasets.shaping import Shaping, shaped

# What a file is follows from its content, not from its name. Only plain bitmap decoders may look at it: Pillow would
# otherwise hand, say, an EPS file that is called x.jpg to Ghostscript. Each with the endings of its files.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf"),
}
# Pillow may have been built without these. (features.check would warn of a name that an older Pillow does not know.)
OPTIONAL = {
    "AVIF": "avif" in features.modules and features.check_module("avif"),
    "JPEG2000": features.check_codec("jpg_2000"),
}
READ_FORMATS = tuple(name for name in FORMATS if OPTIONAL.get(name, True))
EXTENSIONS = tuple(ending for name in READ_FORMATS for ending in FORMATS[name])
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
LARGEST_FILE = 2**30  # bytes: some of Pillow's decoders begin by reading the whole file
# An AVIF file's stream may be larger than its header says, up to the 16,384 x 16,384 at which libavif itself stops.
ONE_AVIF_AT_A_TIME = threading.Lock()

# Pillow's decoders answer a broken file with almost any class of exception. Of the first the message says what is wrong.
TELLING = (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError)
SPEECHLESS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    struct.error,
)


class UnreadablePictureError(Exception):
    """A file that cannot be decoded. Its message is one line: the reason, without the path."""


def decode_file(file: str | bytes, shaping: Shaping, background: str = "white") -> np.ndarray:
    """The picture in a file, its path or its content, the first where it holds several: uint8 `shaping.stored`.

    What is transparent shows the `background`, a colour as Pillow names it. Raises UnreadablePictureError.
    """
    try:
        with open_picture(file) as picture:
            # Pillow itself refuses only at twice this limit, and below that warns without a path.
            if picture.width * picture.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
                raise UnreadablePictureError(f"{picture.width} x {picture.height} pixels may be a decompression bomb")
            # A large JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; twice the target leaves the resize its work.
            target = 2 * max(shaping.box)
            picture.draft(None, (target, target))
            with ONE_AVIF_AT_A_TIME if picture.format == "AVIF" else nullcontext():
                picture.load()
            return decode_picture(ImageOps.exif_transpose(picture), shaping, background)
    except UnreadablePictureError:
        raise
    except (*TELLING, *SPEECHLESS) as error:
        raise UnreadablePictureError(why_unreadable(error, file)) from error


class Head(NamedTuple):
    """What the beginning of a picture's file says: `mode` is Pillow's word for its channels."""

    width: int
    height: int
    mode: str


def head_of_file(file: str | bytes) -> Head | None:
    """The head of the picture in a file, its path or its first bytes; None where it has none.

    A JPEG's as it is shown: of other formats the whole file might be read to know which side is up.
    """
    try:
        with open_picture(file) as picture:
            is_turned = picture.format == "JPEG" and picture.getexif().get(ExifTags.Base.Orientation) in TURNED
            return Head(*(picture.size[::-1] if is_turned else picture.size), picture.mode)
    except (UnreadablePictureError, *TELLING, *SPEECHLESS):  # which it was is said when the picture is decoded
        return None


def size_of_file(file: str | bytes) -> tuple[int, int] | None:
    """Width and height of the picture in a file, as `head_of_file`."""
    head = head_of_file(file)
    return None if head is None else (head.width, head.height)


def check_file_size(size: int) -> None:
    """UnreadablePictureError for a file of more bytes than any that is decoded."""
    if size > LARGEST_FILE:
        raise UnreadablePictureError(f"a file of {size / 2**30:.1f} GiB; a picture has at most {LARGEST_FILE // 2**30}")


def open_picture(file: str | bytes) -> Image.Image:
    """The picture in a file, its head read. UnreadablePictureError where the file is larger than any that is decoded."""
    check_file_size(os.stat(file).st_size if isinstance(file, str) else len(file))
    return Image.open(file if isinstance(file, str) else io.BytesIO(file), formats=READ_FORMATS)


def why_unreadable(error: Exception, file: str | bytes) -> str:
    """The reason in words, on one line: what a decoder raises may be as little as KeyError(101)."""
    named = str(error).replace(repr(file), "the file") if isinstance(file, str) else str(error)
    text = " ".join(named.split())
    if isinstance(error, UnidentifiedImageError):
        return f"cannot identify it as a picture; {', '.join(READ_FORMATS)} are read"
    if isinstance(error, EOFError):
        return "the file ends too early"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, TELLING) and text:
        return text
    return f"its content is damaged, which the decoder met as {type(error).__name__}{f' {text}' if text else ''}"


def decode_array(array: np.ndarray, shaping: Shaping) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) -> uint8 `shaping.stored`; the very same values where size and colour are right already."""
    assert array.dtype == np.uint8, array.dtype
    return decode_picture(Image.fromarray(array), shaping)


def decode_picture(picture: Image.Image, shaping: Shaping, background: str = "white") -> np.ndarray:
    """An upright picture of any mode and shape -> uint8 `shaping.stored`.

    One channel is luma (ITU-R 601), three are RGB: a grey picture gets three equal ones.
    """
    return shaped(opaque(picture, background).convert("L" if shaping.channels == 1 else "RGB"), shaping)


def opaque(picture: Image.Image, background: str) -> Image.Image:
    """The picture with 8 bits a channel, on one colour; before it is resized, or transparent edges would darken."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return eight_bits(picture)
    if not picture.has_transparency_data:
        return picture
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, background), layer)


def eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits or of floats, scaled to 0 … 255: Pillow's own conversion would clip nearly all to white.

    White is 65535 for whole numbers, the smallest of 1, 255 and 65535 that is not exceeded for floats (which do not say
    what their white is), and the picture's own maximum above that. Negative values are black.
    """
    values = np.nan_to_num(np.asarray(picture).astype(np.float64))  # (H, W)
    whites = (1, 255, 65535) if picture.mode == "F" else (65535,)
    white = next((white for white in whites if values.max() <= white), values.max())
    return Image.fromarray(np.rint(values * (255 / white)).clip(0, 255).astype(np.uint8))
