"""Pictures on disk -> arrays, on small files that the tests write: pixels, one picture, a folder; the embedded sets."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import datasets.decode
import datasets.decoding
import datasets.downloads
from datasets import ImageDataset, to_float, to_uint8
from datasets.shaping import Shaping
from tests.pictures import BLUE, GREEN, RED, cache_files, message, solid
from utils.errors import RequestError

# Pixels


def test_pixels_round_trip_is_exact_on_all_values():
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    floats = to_float(values)
    assert floats.dtype == torch.float32 and floats.min() == -1 and floats.max() == 1
    assert torch.equal(to_uint8(floats), values)
    assert torch.equal(to_float(to_uint8(floats)), floats)


def test_to_uint8_rounds_to_the_nearest_and_clamps():
    step = 2 / 255
    floats = torch.tensor([-1 + 0.4 * step, -1 + 0.6 * step, -7.0, 7.0, -torch.inf, torch.inf])
    assert to_uint8(floats).tolist() == [0, 1, 0, 255, 0, 255]
    assert to_uint8(floats.to(torch.float64)).dtype == torch.uint8


def test_to_uint8_does_not_hide_nan():
    with pytest.raises(ValueError, match="1 of 2 values"):
        to_uint8(torch.tensor([0.0, torch.nan]))


# One picture


def test_exif_orientation_is_applied(load, folder):
    picture = Image.new("RGB", (8, 8), RED)
    picture.paste(BLUE, (0, 0, 8, 4))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of what was photographed is on the right of what was stored
    picture.save(folder / "a.png", exif=exif)
    pixels = load()[0]
    assert pixels[:, 4, 0].tolist() == list(RED) and pixels[:, 4, 7].tolist() == list(BLUE)


def is_black_on_white(pixels: np.ndarray) -> bool:
    return bool((pixels[:, :, :4] == 255).all() and (pixels[:, :, 4:] == 0).all())


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_drawn_on_white(load, folder, mode):
    """The left half is transparent, with a colour below it that must not show; the right half is opaque black."""
    picture = Image.new("RGBA", (8, 8), (10, 10, 10, 0))
    picture.paste((0, 0, 0, 255), (4, 0, 8, 8))
    picture.convert(mode).save(folder / "a.png")
    assert is_black_on_white(load()[0]) and is_black_on_white(load(image_channel=1)[0])


def test_transparency_of_a_palette_is_drawn_on_white(load, folder):
    """Transparent red and opaque black: once as a colour that is transparent, once with a channel of alpha."""
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([255, 0, 0, 0, 0, 0])
    picture.paste(1, (4, 0, 8, 8))
    picture.save(folder / "a.png", transparency=0)
    assert Image.open(folder / "a.png").mode == "P" and is_black_on_white(load()[0])
    alpha = Image.new("L", (8, 8), 0)
    alpha.paste(255, (4, 0, 8, 8))
    picture = picture.convert("PA")
    picture.putalpha(alpha)
    assert is_black_on_white(datasets.decode.decode_picture(picture, Shaping(3, 8, 8)))


def test_transparent_edges_do_not_darken(load, folder):
    """White on transparent black is white everywhere, at the borders between the two as well."""
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((255, 255, 255, 255), (13, 13, 51, 51))
    picture.save(folder / "a.png")
    assert (load()[0] == 255).all()


def test_half_transparency_is_mixed_with_white(load, folder):
    solid((255, 0, 0, 128), mode="RGBA").save(folder / "a.webp", lossless=True)
    assert load()[0, :, 0, 0].tolist() == [255, 127, 127]


def test_palette_keeps_its_colours(load, folder):
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([0, 0, 0, 12, 200, 99])
    picture.save(folder / "a.png")
    assert load()[0, :, 3, 3].tolist() == [12, 200, 99]


def test_sixteen_bit_grey_is_scaled_not_clipped(load, folder):
    values = np.array([[0, 257 * 100, 65535, 300]] * 4, dtype=np.uint16)
    Image.fromarray(values).save(folder / "a.png")
    assert Image.open(folder / "a.png").mode.startswith("I")
    assert load(image_size=4, image_channel=1)[0, 0, 0].tolist() == [0, 100, 255, 1]


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0, 1e6])
def test_floats_and_32_bits_are_scaled_to_their_white(white):
    values = np.array([[0, white], [white / 5, -white]], dtype=np.float32)
    assert datasets.decode.decode_picture(Image.fromarray(values), Shaping(1, 2, 2)).tolist() == [[[0, 255], [51, 0]]]
    if white > 255:
        assert datasets.decode.decode_picture(Image.fromarray(values.astype(np.int32)), Shaping(1, 2, 2)).tolist() == [
            [[0, 255], [51, 0]]
        ]


def test_cmyk_becomes_rgb(load, folder):
    solid((0, 255, 255, 0), (16, 16), "CMYK").save(folder / "a.jpg", quality=100)
    assert np.abs(load()[0, :, 4, 4].astype(int) - RED).max() <= 3


@pytest.mark.parametrize("size", [(24, 8), (8, 24), (48, 16), (9, 3)])
def test_centre_is_cropped_never_squashed(load, folder, size):
    """Thirds of red, green and blue along the long side: the centred square is exactly the green one."""
    picture, (width, height) = Image.new("RGB", size, GREEN), size
    if width > height:
        picture.paste(RED, (0, 0, width // 3, height))
        picture.paste(BLUE, (width - width // 3, 0, width, height))
    else:
        picture.paste(RED, (0, 0, width, height // 3))
        picture.paste(BLUE, (0, height - height // 3, width, height))
    picture.save(folder / "a.png")
    assert (load()[0] == np.array(GREEN, np.uint8)[:, None, None]).all()


def test_resize_is_antialiased(load, folder):
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(checkers.astype(np.uint8)).save(folder / "a.png")
    assert np.abs(load(image_channel=1).astype(int) - 127).max() <= 2


def test_large_jpeg_and_small_picture(load, folder):
    picture = Image.new("RGB", (640, 480), RED)
    picture.paste(BLUE, (320, 0, 640, 480))
    picture.save(folder / "a.jpg", quality=95)
    solid(GREEN, (3, 2)).save(folder / "b.bmp")
    pixels = load().astype(int)
    assert np.abs(pixels[0, :, :, 0] - np.array(RED)[:, None]).max() <= 4
    assert np.abs(pixels[0, :, :, 7] - np.array(BLUE)[:, None]).max() <= 4
    assert (pixels[1] == np.array(GREEN)[:, None, None]).all()


def test_grey_and_colour_follow_image_channel(load, folder):
    solid(77, mode="L").save(folder / "a.png")
    solid(RED).save(folder / "b.png")
    assert load(image_channel=3)[0, :, 0, 0].tolist() == [77, 77, 77]
    assert load(image_channel=1)[:, 0, 0, 0].tolist() == [77, 76]  # 0.299 * 255


# A folder


def test_every_picture_is_found_and_sorted(load, folder):
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / "x.png").mkdir()  # a folder that is called like a picture
    os.mkfifo(folder / "pipe.png")
    names = ["z.JPG", "sub/deep/c.jpeg", "b.WebP", "sub/a.PNG", "a.bmp"]
    for level, name in enumerate(names):  # written in another order than the sorted one
        solid(40 * level, mode="L").convert("RGB").save(folder / name)
    solid(255, mode="L").save(folder / ".hidden" / "no.png")
    solid(255, mode="L").save(folder / ".no.png")
    (folder / "notes.txt").write_text("not a picture")
    levels = load()[:, 0, 0, 0].tolist()
    assert levels == [40 * names.index(name) for name in sorted(names)]


def test_order_does_not_depend_on_creation(load, tmp_path):
    for place, order in (("one", [0, 1, 2, 3]), ("two", [2, 0, 3, 1])):
        (tmp_path / place).mkdir()
        for number in order:
            solid(number, mode="L").save(tmp_path / place / f"{number}.png")
    one, two = (load(data_path=str(tmp_path / place)) for place in ("one", "two"))
    assert one[:, 0, 0, 0].tolist() == [0, 1, 2, 3] and np.array_equal(one, two)


def test_links_to_files_are_followed_and_loops_are_unreadable(load, folder, tmp_path):
    solid(RED).save(tmp_path / "elsewhere.png")
    (folder / "a.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "up").symlink_to(folder)
    assert load().shape == (1, 3, 8, 8)
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    with pytest.raises(RequestError, match="gone.png"):
        load()
    assert len(load(skip_unreadable=True)) == 1


@pytest.mark.parametrize("damage", ["garbage", "truncated", "empty", "bomb", "postscript"])
def test_unreadable_picture_is_named(load, folder, monkeypatch, damage):
    solid(RED).save(folder / "a.png")
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(folder / "bad.png")
    whole = (folder / "bad.png").read_bytes()
    if damage == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # 1,024 pixels: Pillow itself would only warn
    else:
        broken = {"garbage": b"not\na picture", "truncated": whole[:500], "empty": b"", "postscript": b"%!PS-Adobe-3.0"}
        (folder / "bad.png").write_bytes(broken[damage])
    with pytest.raises(RequestError) as error:
        load()
    assert str(folder / "bad.png") in message(error) and "skip_unreadable" in message(error)
    assert cache_files(folder.parent) == []


def test_skip_unreadable_lists_what_it_skips(load, folder, capsys):
    solid(RED).save(folder / "m.png")
    for number in range(12):
        (folder / f"bad{number:02d}.png").write_bytes(b"?")
    images = load(skip_unreadable=True)
    assert images.shape == (1, 3, 8, 8) and images[0, :, 0, 0].tolist() == list(RED)
    text = capsys.readouterr().err
    assert "skipped 12" in text and str(folder / "bad09.png") in text and "bad10" not in text and "2 more" in text
    (folder / "m.png").unlink()
    with pytest.raises(RequestError, match="no picture can be read, of 12 files; first: .*bad00.png"):
        load(skip_unreadable=True)


def test_a_folder_without_pictures_says_so(load, folder, tmp_path):
    with pytest.raises(RequestError) as error:
        load()
    assert "empty" in message(error) and str(folder) in message(error)
    (folder / "notes.txt").write_text("")
    with pytest.raises(RequestError) as error:
        load()
    assert "only other files (1 .txt)" in message(error)
    for path, problem in ((tmp_path / "nowhere", "does not exist"), (folder / "notes.txt", "is a file")):
        with pytest.raises(RequestError) as error:
            ImageDataset("folder", str(path)).count()
        assert problem in message(error) and str(path) in message(error)
    for request in ({"data_path": None}, {"split": "test"}, {"source": "Mnist"}):
        with pytest.raises(RequestError):
            load(**request)


# The embedded sets


def test_digits_are_the_file_s_own_bytes_and_the_last_1000_are_held_out(load):
    with np.load(Path(datasets.__file__).parent / "assets" / "mnist_mini.npz", allow_pickle=False) as arrays:
        digits = arrays["images"]
    digit = functools.partial(load, source="mnist_mini", data_path=None, image_size=28, image_channel=1)
    train, test = digit(), digit(split="test")
    assert train.shape == (7000, 1, 28, 28) and test.shape == (1000, 1, 28, 28)
    assert np.array_equal(train[:, 0], digits[:7000]) and np.array_equal(test[:, 0], digits[7000:])


def test_emoji(load):
    images = load(source="emoji", data_path=None, image_size=64)
    with np.load(Path(datasets.__file__).parent / "assets" / "emoji_64.npz", allow_pickle=False) as arrays:
        assert np.array_equal(images, arrays["images"].transpose(0, 3, 1, 2))
    for options in ({"split": "test"}, {"data_path": "here"}):
        with pytest.raises(RequestError):
            load(**{"source": "emoji", "data_path": None, **options})


def test_the_training_pictures_are_counted_before_they_are_read(folder):
    assert ImageDataset("mnist_mini").count() == 7000 and ImageDataset("emoji").count() == 1911
    assert ImageDataset("mnist", str(folder)).count() == 60_000
    solid(RED).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"?")
    assert ImageDataset("folder", str(folder)).count() == 2
