"""Pictures of any size -> one shape: scaled, cropped at the centre or padded; sizes as people write them."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from datasets import ImageDataset
from datasets.decode import decode_file, decode_picture
from datasets.shaping import Shaping
from tests.pictures import BLUE, GREEN, RED, cache_files, solid
from utils.shapes import check_resize, sides, size_of_text, size_text


def noise(width, height, channels=3):
    array = np.random.default_rng(width * height).integers(0, 256, (height, width, channels), np.uint8)
    return Image.fromarray(array[..., 0] if channels == 1 else array)


def places(height, width):
    """A picture whose red says the row and whose green the column of each pixel."""
    rows, columns = np.indices((height, width), np.uint8)
    return Image.fromarray(np.stack([rows, columns, 0 * rows], axis=-1))


def rows_and_columns(pixels):
    """Where the corners of the pixels (3, H, W) were in `places`, as numpy's slices."""
    return pixels[0, 0, 0], pixels[0, -1, -1] + 1, pixels[1, 0, 0], pixels[1, -1, -1] + 1


# What squares have always been


@pytest.mark.parametrize("size", [(40, 30), (9, 31), (32, 32), (400, 290), (7, 3)])
def test_squares_are_what_they_were(size):
    """As it was before there was a choice: the centred square, by Pillow's bicubic filter."""
    picture = noise(*size)
    side = min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.BICUBIC, reducing_gap=3.0)
    assert np.array_equal(decode_picture(picture, Shaping(3, 32, 32)), np.asarray(square).transpose(2, 0, 1))


def test_the_cache_of_squares_has_the_name_that_it_had(load, folder, tmp_path):
    """So what was decoded before is found: the name follows from the files and the shape alone."""
    solid(RED).save(folder / "a.png")
    images, status = load(), os.stat(folder / "a.png")

    def digest(*parts):
        return hashlib.sha256("\0\0".join(parts).encode()).hexdigest()

    identity = digest("folder", str(folder), "train")[:8]
    state = digest("2", "(3, 8, 8)", "False", "False", f"a.png\0{status.st_size}\0{status.st_mtime_ns}")[:16]
    assert os.path.basename(images.filename) == f"in_3x8_{identity}_{state}.npy"
    others = [{"image_size": [8, 12]}, {"crop": "none"}, {"resize": 9}, {"resize": [9, 8]}, {"crop": "random"}]
    for options in others:
        load(**options)
    names = {path.name for path in cache_files(tmp_path)}
    assert len(names) == 1 + len(others) + 1  # of the last one the slots, and a crop of each
    assert {name.rsplit("_", 2)[0] for name in names} == {
        "in_3x8", "in_3x8x12", "in_3x8-none", "in_3x8-9", "in_3x8-9x8", "in_3x8-random"
    }  # fmt: skip
    assert os.path.exists(images.filename)


# The centre


@pytest.mark.parametrize("size", [(100, 80), (80, 101), (90, 90), (131, 70), (41, 67)])
@pytest.mark.parametrize("image_size, resize", [((32, 32), 32), ((32, 32), 45), ((24, 40), 40), ((40, 24), 47), ((3, 5), 40)])
def test_the_centre_is_torchvision_s(size, image_size, resize):
    picture = noise(*size)
    ours = decode_picture(picture, Shaping(3, *image_size, resize=resize))
    scaled = transforms.Resize(resize, transforms.InterpolationMode.BICUBIC)(picture)
    theirs = transforms.CenterCrop(image_size)(scaled)
    assert np.array_equal(ours, np.asarray(theirs).transpose(2, 0, 1))


def test_resize_to_both_sides_takes_no_heed_of_proportions():
    picture = noise(90, 50)
    ours = decode_picture(picture, Shaping(3, 32, 20, resize=(32, 30)))
    scaled = transforms.Resize((32, 30), transforms.InterpolationMode.BICUBIC)(picture)
    assert np.array_equal(ours, np.asarray(scaled).transpose(2, 0, 1)[:, :, 5:25])


@pytest.mark.parametrize(
    "picture, shape, found",
    [
        ((20, 40), (20, 10), (0, 20, 15, 25)),
        ((40, 20), (10, 20), (15, 25, 0, 20)),
        ((21, 40), (21, 11), (0, 21, 14, 25)),
        ((24, 32), (24, 32), (0, 24, 0, 32)),
    ],
)
def test_a_rectangle_is_the_largest_centred_one_of_its_proportions(picture, shape, found):
    assert rows_and_columns(decode_picture(places(*picture), Shaping(3, *shape))) == found


@pytest.mark.parametrize("size, shape", [((640, 48), (48, 64)), ((30, 40), (16, 8)), ((3, 200), (8, 24))])
def test_rectangles_are_never_squashed(size, shape):
    """A square on the picture, black on white, is a square of as many pixels a side, in whatever shape it is seen."""
    width, height = size
    scale = max(shape[0] / height, shape[1] / width)
    half = min(width, height) // 3 or 1
    picture = solid((255, 255, 255), size)
    picture.paste((0, 0, 0), (width // 2 - half, height // 2 - half, width // 2 + half, height // 2 + half))
    pixels = decode_picture(picture, Shaping(3, *shape))
    dark = (255.0 - pixels[0]) / 255
    expected = 2 * half * scale
    assert dark[shape[0] // 2].sum() == pytest.approx(min(expected, shape[1]), abs=2)
    assert dark[:, shape[1] // 2].sum() == pytest.approx(min(expected, shape[0]), abs=2)


def test_a_turned_photograph_fills_the_rectangle_upright(load, folder):
    picture = solid(RED, (32, 16))
    picture.paste(BLUE, (16, 0, 32, 16))  # the right half of what was stored: the lower half of what was seen
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "a.jpg", exif=exif, quality=100, subsampling=0)
    data = ImageDataset("folder", str(folder), image_size=(32, 16))
    assert data.survey().smaller == 0 and ImageDataset("folder", str(folder), image_size=(16, 32)).survey().smaller == 1
    pixels = load(image_size=[32, 16])[0].astype(int)
    assert pixels.shape == (3, 32, 16)
    assert np.abs(pixels[:, 4, 8] - RED).max() <= 3 and np.abs(pixels[:, 28, 8] - BLUE).max() <= 3


def test_a_large_jpeg_is_decoded_finely_enough(tmp_path):
    """Pillow decodes it at a part of its size: never at less than the picture that is made of it needs."""
    picture = Image.new("RGB", (1600, 1200), GREEN)
    picture.paste(RED, (0, 0, 800, 1200))
    picture.save(tmp_path / "a.jpg", quality=95, subsampling=0)
    for shaping in (Shaping(3, 48, 64), Shaping(3, 48, 64, resize=150), Shaping(3, 64, 64, "none"), Shaping(3, 8, 64)):
        pixels = decode_file(str(tmp_path / "a.jpg"), shaping).astype(int)
        row = pixels[:, shaping.height // 2]
        assert np.abs(row[:, 30] - RED).max() <= 8 and np.abs(row[:, 33] - GREEN).max() <= 8


# All of it


def test_padding_is_black_and_keeps_every_pixel():
    digit = noise(28, 28, 1)
    pixels = decode_picture(digit, Shaping(1, 32, 32, "none", 28))
    assert np.array_equal(pixels[0], np.pad(np.asarray(digit), 2))
    assert np.array_equal(decode_picture(digit, Shaping(1, 31, 40, "none", 28))[0], np.pad(np.asarray(digit), ((1, 2), (6, 6))))


@pytest.mark.parametrize(
    "size, shape, resize, inside",
    [
        ((16, 8), (8, 8), None, (slice(2, 6), slice(0, 8))),
        ((8, 16), (8, 8), None, (slice(0, 8), slice(2, 6))),
        ((4, 2), (8, 8), None, (slice(2, 6), slice(0, 8))),
        ((30, 10), (12, 24), None, (slice(2, 10), slice(0, 24))),
        ((900, 1), (8, 8), None, (slice(3, 4), slice(0, 8))),
        ((16, 8), (8, 8), 4, (slice(3, 5), slice(2, 6))),
        ((16, 8), (8, 12), (6, 4), (slice(1, 7), slice(4, 8))),
    ],
)
def test_all_of_a_picture_fits_in(size, shape, resize, inside):
    pixels = decode_picture(solid(RED, size), Shaping(3, *shape, "none", resize))
    expected = np.zeros((3, *shape), np.uint8)
    expected[(0, *inside)] = 255
    assert np.array_equal(pixels, expected)


# What is said of it


def test_the_plan_says_which_pictures_are_enlarged(folder):
    for i, size in enumerate([(64, 48), (60, 48), (64, 40), (128, 96), (30, 30)]):
        solid(RED, size).save(folder / f"{i}.png")

    def smaller(**options):
        return ImageDataset("folder", str(folder), **options).survey().smaller

    assert smaller(image_size=[48, 64]) == 3
    assert smaller(image_size=48) == 2
    assert smaller(image_size=48, resize=60) == 4
    assert smaller(image_size=64, crop="none") == 2  # the others touch a side
    assert smaller(image_size=64, crop="none", resize=28) == 0
    lines = ImageDataset("folder", str(folder), image_size=[48, 64]).survey().lines()
    assert lines == ["smaller than 48x64, and enlarged: 3 of 5 pictures"]
    assert ImageDataset("mnist_mini", image_size=[28, 32]).survey().smaller == 7000
    assert ImageDataset("mnist_mini", image_size=32, crop="none", resize=28).survey().smaller == 0


@pytest.mark.parametrize("text, size", [("28", 28), ("48x64", [48, 64]), ("48X64", [48, 64]), ("32x32", 32)])
def test_sizes_as_they_are_typed(text, size):
    assert size_of_text(text) == size and size_of_text(size_text(size)) == size
    assert sides(size) == (tuple(size) if isinstance(size, list) else (size, size))


@pytest.mark.parametrize("text", ["", "x", "48x", "48x64x3", "a", "4.5", "48 64"])
def test_texts_that_are_no_size(text):
    with pytest.raises(ValueError):
        size_of_text(text)


@pytest.mark.parametrize(
    "image_size, crop, resize, words",
    [
        (32, "center", 31, r"data.resize 31, the shorter side, is less than image_size 32: it must be at least 32"),
        ([48, 64], "random", 63, r"image_size \[48, 64\]: it must be at least 64"),
        ([48, 64], "center", [47, 64], r"data.resize \[47, 64\] is less than image_size \[48, 64\]"),
        ([48, 64], "random", [48, 64], "nothing to choose"),
        (32, "none", 33, "data.resize 33, the longer side with crop none, exceeds image_size 32: it must be at most 32"),
        ([48, 64], "none", [48, 65], r"data.resize \[48, 65\] exceeds"),
    ],
)
def test_a_crop_must_find_room(image_size, crop, resize, words):
    with pytest.raises(ValueError, match=words):
        check_resize(image_size, crop, resize)


def test_what_finds_room():
    for image_size, crop, resize in [(32, "center", None), (32, "center", 32), (32, "random", None), ([48, 64], "center", 64),
                                     ([48, 64], "random", [48, 65]), (32, "none", 28), ([48, 64], "none", [48, 64])]:  # fmt: skip
        check_resize(image_size, crop, resize)


@pytest.mark.parametrize("shaping", [Shaping(1, 4, 4), Shaping(3, 4, 4), Shaping(1, 4, 6, "none"), Shaping(1, 4, 4, "random", 6)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_is_decoded_can_be_written_to(shaping, mode):
    """As torch wants it of an array that it shares; Pillow's own views are read-only."""
    assert decode_picture(Image.new(mode, (8, 8)), shaping).flags.writeable
    assert decode_picture(Image.new(mode, (4, 4)), shaping).flags.writeable
