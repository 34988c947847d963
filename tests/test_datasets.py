"""Pictures on disk -> arrays -> batches, on small files that the tests write in each set's own format."""

import functools
import gzip
import hashlib
import http.server
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image

import datasets.cache
import datasets.decode
import datasets.downloads
from datasets import SOURCES, Batches, check_source, load_images, load_labels, to_float, to_uint8
from datasets.locks import exclusive
from utils.errors import RequestError

CPU = torch.device("cpu")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def load(tmp_path):
    """load_images with a cache of the test's own; folders of pictures are in tmp_path / "in"."""
    return functools.partial(
        load_images,
        source="folder",
        data_path=str(tmp_path / "in"),
        image_size=8,
        image_channel=3,
        download=False,
        skip_unreadable=False,
        cache_dir=str(tmp_path / "cache"),
        progress=False,
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(request, data=None, timeout=None):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def solid(color, size=(8, 8), mode="RGB"):
    return Image.new(mode, size, color)


def message(error) -> str:
    """The RequestError's text, which has to be one line."""
    text = str(error.value)
    assert "\n" not in text
    return text


def cache_files(tmp_path) -> list[Path]:
    """Everything in the cache folder, but for the lock of a killed build; nothing where there is no such folder."""
    return [path for path in (tmp_path / "cache").rglob("*") if path.suffix != ".lock"]


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
    assert is_black_on_white(datasets.decode.square_pixels(picture, 8, 3))


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
    assert datasets.decode.square_pixels(Image.fromarray(values), 2, 1).tolist() == [[[0, 255], [51, 0]]]
    if white > 255:
        assert datasets.decode.square_pixels(Image.fromarray(values.astype(np.int32)), 2, 1).tolist() == [
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
    with pytest.raises(RequestError, match="none of the 12 pictures"):
        load(skip_unreadable=True)


def test_a_folder_without_pictures_says_so(load, folder, tmp_path):
    with pytest.raises(RequestError) as error:
        load()
    assert "empty" in message(error) and str(folder) in message(error)
    (folder / "notes.txt").write_text("")
    with pytest.raises(RequestError) as error:
        load()
    assert "only other files" in message(error) and "notes.txt" in message(error)
    for path, problem in ((tmp_path / "nowhere", "does not exist"), (folder / "notes.txt", "is a file")):
        with pytest.raises(RequestError) as error:
            check_source("folder", str(path), download=False)
        assert problem in message(error) and str(path) in message(error)
    for request in ({"data_path": None}, {"split": "test"}, {"source": "Mnist"}):
        with pytest.raises(RequestError):
            load(**request)


# The cache


def test_the_cache_is_rebuilt_iff_files_size_or_channels_change(load, folder, tmp_path, monkeypatch):
    decoded = []
    decode_file = datasets.cache.decode_file

    def counting(path, *shape):
        decoded.append(os.path.basename(path))
        return decode_file(path, *shape)

    monkeypatch.setattr(datasets.cache, "decode_file", counting)

    def decodes(**options) -> int:
        decoded.clear()
        images = load(**options)
        assert isinstance(images, np.memmap) and not images.flags.writeable
        return len(decoded)

    for name in ("a.png", "b.png"):
        solid(RED).save(folder / name)
    assert [decodes(), decodes()] == [2, 0]
    assert [decodes(image_size=4), decodes(image_size=4), decodes()] == [2, 0, 0]
    assert [decodes(image_channel=1), decodes(image_channel=1), decodes()] == [2, 0, 0]
    first = set(cache_files(tmp_path))
    assert len(first) == 3  # one for each size and number of channels

    (folder / "notes.txt").write_text("no picture, no matter")
    assert decodes() == 0
    os.utime(folder / "a.png", ns=(1, 1))
    assert [decodes(), decodes()] == [2, 0]
    (folder / "b.png").rename(folder / "c.png")
    assert [decodes(), decodes()] == [2, 0]
    solid(BLUE).save(folder / "d.png")
    assert [decodes(), decodes()] == [3, 0]
    assert load()[2, :, 0, 0].tolist() == list(BLUE)
    (folder / "d.png").unlink()
    assert [decodes(), decodes()] == [2, 0]
    now = set(cache_files(tmp_path))
    assert len(now) == 3 and len(now & first) == 2  # what the old files gave is gone, the other shapes' are not


def test_folders_do_not_share_a_cache(load, tmp_path):
    for place, color in (("one/in", RED), ("two/in", BLUE)):
        (tmp_path / place).mkdir(parents=True)
        solid(color).save(tmp_path / place / "a.png")
        os.utime(tmp_path / place / "a.png", ns=(1, 1))
    for _ in range(2):
        assert load(data_path=str(tmp_path / "one/in"))[0, :, 0, 0].tolist() == list(RED)
        assert load(data_path=str(tmp_path / "two/in"))[0, :, 0, 0].tolist() == list(BLUE)
    assert len(cache_files(tmp_path)) == 2


def test_a_killed_build_leaves_no_cache(folder, tmp_path, load):
    """SIGKILL in the middle of the second block: nothing that a later run could take for a cache."""
    for number in range(6):
        solid(number, mode="L").save(folder / f"{number}.png")
    script = (
        "import os, signal, sys, datasets.cache as cache\n"
        "from datasets import load_images\n"
        "cache.BLOCK_BYTES, whole = 1, cache.decode_file\n"
        "def decode(path, *shape):\n"
        "    if path.endswith('3.png'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return whole(path, *shape)\n"
        "cache.decode_file = decode\n"
        "load_images(source='folder', data_path=sys.argv[1], image_size=8, image_channel=3, download=False,\n"
        "            skip_unreadable=False, cache_dir=sys.argv[2], progress=False)\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(tmp_path / "cache")]
    root = Path(__file__).resolve().parent.parent
    assert subprocess.run(command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}).returncode == -9
    assert [path.suffix for path in cache_files(tmp_path)] == [".tmp"]
    assert load()[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert [path.suffix for path in cache_files(tmp_path)] == [".npy"]


def test_an_interrupted_build_leaves_nothing(folder, tmp_path, load, monkeypatch):
    solid(RED).save(folder / "a.png")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(datasets.cache, "decode_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load()
    assert cache_files(tmp_path) == []


def test_a_truncated_cache_is_made_anew(folder, tmp_path, load):
    solid(RED).save(folder / "a.png")
    load()
    [path] = cache_files(tmp_path)
    for content in (path.read_bytes()[:-1], b"", b"?"):
        path.write_bytes(content)
        assert load()[0, :, 0, 0].tolist() == list(RED)


def test_blocks_do_not_change_the_result(folder, load, tmp_path, monkeypatch):
    for number in range(7):
        solid(number, mode="L").save(folder / f"{number}.png")
    monkeypatch.setattr(datasets.cache, "BLOCK_BYTES", 3 * 8 * 8 * 2)
    assert load()[:, 0, 0, 0].tolist() == list(range(7))


def test_a_cache_that_cannot_be_written_is_a_request_error(folder, load, tmp_path):
    solid(RED).save(folder / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError) as error:
        load(cache_dir=str(tmp_path / "file"))
    assert "cache_dir" in message(error)


def test_one_owner_of_a_lock_at_a_time_and_no_file_left(tmp_path):
    """Each owner removes the file while the others wait for it: none of them may take the old one for the new."""
    counter, lock = tmp_path / "counter", str(tmp_path / "lock")
    counter.write_text("0")

    def count():
        for _ in range(50):
            with exclusive(lock):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "400" and os.listdir(tmp_path) == ["counter"]


# The embedded sets


def test_digits_are_the_file_s_own_bytes_and_the_last_1000_are_held_out(load):
    with np.load(Path(datasets.__file__).parent / "assets" / "mnist_mini.npz", allow_pickle=False) as arrays:
        digits, labels = arrays["images"], arrays["labels"]
    digit = functools.partial(load, source="mnist_mini", data_path=None, image_size=28, image_channel=1)
    train, test = digit(), digit(split="test")
    assert train.shape == (7000, 1, 28, 28) and test.shape == (1000, 1, 28, 28)
    assert np.array_equal(train[:, 0], digits[:7000]) and np.array_equal(test[:, 0], digits[7000:])
    assert np.array_equal(load_labels("mnist_mini"), labels[:7000])
    assert np.array_equal(load_labels("mnist_mini", "test"), labels[7000:]) and labels.dtype == np.uint8


def test_emoji(load):
    images = load(source="emoji", data_path=None, image_size=64)
    with np.load(Path(datasets.__file__).parent / "assets" / "emoji_64.npz", allow_pickle=False) as arrays:
        assert np.array_equal(images, arrays["images"].transpose(0, 3, 1, 2))
    assert len(load_labels("emoji", "train")) == len(images) == 1911
    for options in ({"split": "test"}, {"data_path": "here"}):
        with pytest.raises(RequestError):
            load(**{"source": "emoji", "data_path": None, **options})


def test_check_source_counts_the_training_pictures(folder):
    assert check_source("mnist_mini", None, download=False) == 7000
    assert check_source("emoji", None, download=False) == 1911
    assert check_source("mnist", str(folder), download=True) == 60_000
    solid(RED).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"?")
    assert check_source("folder", str(folder), download=False) == 2


# Torchvision's sets


def digits_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), np.uint8)


def write_idx(path: Path, array: np.ndarray) -> None:
    """The idx-ubyte format: a big-endian magic number that counts the dimensions, their sizes, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes())


def write_mnist(raw: Path) -> None:
    for seed, (name, count) in enumerate((("train", 5), ("t10k", 3))):
        write_idx(raw / f"{name}-images-idx3-ubyte", digits_of(seed, count))
        write_idx(raw / f"{name}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8))


@pytest.mark.parametrize("source, name", [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files(load, tmp_path, source, name):
    write_mnist(tmp_path / name / "raw")
    grey = functools.partial(load, source=source, data_path=str(tmp_path), image_size=28, image_channel=1)
    check_source(source, str(tmp_path), download=False)
    assert np.array_equal(grey()[:, 0], digits_of(0, 5))
    assert np.array_equal(grey(split="test")[:, 0], digits_of(1, 3))
    assert np.array_equal(load_labels(source, "train", str(tmp_path)), np.arange(5, dtype=np.uint8))
    assert np.array_equal(grey(image_channel=3), digits_of(0, 5)[:, None].repeat(3, axis=1))
    assert grey(image_size=32).shape == (5, 1, 32, 32)
    with pytest.raises(RequestError, match="'train' and 'test'"):
        grey(split="val")
    path = tmp_path / name / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RequestError) as error:
        grey()
    assert "damaged" in message(error) and str(path.parent) in message(error)


def write_cifar10(root: Path, monkeypatch) -> Path:
    """Two pictures in each of data_batch_1 … 5 and test_batch; torchvision is told their checksums."""
    known = torchvision.datasets.CIFAR10
    folder = root / known.base_folder
    folder.mkdir(parents=True)
    sums = {}
    for seed, name in enumerate([f"data_batch_{number}" for number in range(1, 6)] + ["test_batch", "batches.meta"]):
        rows = np.random.default_rng(seed).integers(0, 256, (2, 3072), np.uint8)
        content = {"label_names": ["a"]} if name == "batches.meta" else {"data": rows, "labels": [0, 1]}
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(known, "train_list", [[f"data_batch_{n}", sums[f"data_batch_{n}"]] for n in range(1, 6)])
    monkeypatch.setattr(known, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(known, "meta", {**known.meta, "md5": sums["batches.meta"]})
    return folder


def cifar_pixels(seeds) -> np.ndarray:
    rows = [np.random.default_rng(seed).integers(0, 256, (2, 3072), np.uint8) for seed in seeds]
    return np.concatenate(rows).reshape(-1, 3, 32, 32)


def test_cifar10(load, tmp_path, monkeypatch):
    folder = write_cifar10(tmp_path, monkeypatch)
    color = functools.partial(load, source="cifar10", data_path=str(tmp_path), image_size=32)
    assert np.array_equal(color(), cifar_pixels(range(5)))
    assert np.array_equal(color(split="test"), cifar_pixels([5]))
    assert color(image_channel=1).shape == (10, 1, 32, 32)
    (folder / "data_batch_3").write_bytes(b"damaged")
    with pytest.raises(RequestError) as error:
        color()
    assert all(word in message(error) for word in ("data_batch_3", str(folder), torchvision.datasets.CIFAR10.url))


def test_flowers_are_every_picture_in_the_order_of_their_numbers(load, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.downloads, "FLOWER_NUM", 3)
    folder = tmp_path / "flowers-102" / "jpg"
    folder.mkdir(parents=True)
    for number in (3, 1, 2):
        solid(60 * number, (20, 12), "L").convert("RGB").save(folder / f"image_{number:05d}.jpg", quality=100)
    flowers = functools.partial(load, source="flower102", data_path=str(tmp_path))
    assert np.abs(flowers()[:, 0, 4, 4].astype(int) - [60, 120, 180]).max() <= 1
    with pytest.raises(RequestError, match="'test' split"):
        flowers(split="test")
    (folder / "image_00002.jpg").unlink()
    with pytest.raises(RequestError) as error:
        flowers()
    assert all(word in message(error) for word in ("image_00002.jpg", str(folder), "102flowers.tgz", "robots.ox.ac.uk"))


MISSING = [  # source, a file, its place below the root, its URL
    ("mnist", "train-images-idx3-ubyte", "MNIST/raw", "https://ossci-datasets.s3.amazonaws.com/mnist/train-images"),
    ("fashion_mnist", "t10k-images-idx3-ubyte", "FashionMNIST/raw", "http://fashion-mnist.s3-website.eu-central-1"),
    ("cifar10", "data_batch_1", "cifar-10-batches-py", "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"),
    ("flower102", "image_00001.jpg", "flowers-102/jpg", "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flower"),
]


@pytest.mark.parametrize("source, file, place, url", MISSING)
@pytest.mark.parametrize("download", [False, True])
def test_missing_files_are_named_with_place_and_url(load, tmp_path, no_network, source, file, place, url, download):
    root = tmp_path / "data"
    with pytest.raises(RequestError) as error:
        load(source=source, data_path=str(root), download=download)
    text = message(error)
    assert file in text and str(root / place) in text and url in text
    assert ("no route to host" in text) == download and ("set data.download" in text) != download
    assert list(root.rglob("*")) == []  # no half files
    if download:
        check_source(source, str(root), download=True)
    else:
        assert not root.exists()
        with pytest.raises(RequestError):
            check_source(source, str(root), download=False)


def test_data_path_none_is_the_data_folder(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError) as error:
        load(source="mnist", data_path=None)
    assert str(tmp_path / "data" / "MNIST" / "raw") in message(error)


def test_archives_put_there_by_hand_are_unpacked(load, tmp_path, monkeypatch, no_network):
    """What the message about missing files asks for is enough, without a network and with download off."""
    raw, known = tmp_path / "MNIST" / "raw", torchvision.datasets.MNIST
    write_mnist(raw)
    resources = []
    for name, _ in known.resources:
        path = raw / name.removesuffix(".gz")
        (raw / name).write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        resources.append((name, hashlib.md5((raw / name).read_bytes()).hexdigest()))
    monkeypatch.setattr(known, "resources", resources)
    check_source("mnist", str(tmp_path), download=False)
    assert not list(raw.glob("*ubyte"))  # checking changes nothing
    images = load(source="mnist", data_path=str(tmp_path), image_size=28, image_channel=1)
    assert np.array_equal(images[:, 0], digits_of(0, 5))


@pytest.fixture
def server(tmp_path):
    """The URL of a web server on this machine that serves tmp_path / "www"."""
    (tmp_path / "www").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_download(load, tmp_path, monkeypatch, server):
    """From a server: a file with the wrong checksum leaves nothing behind, the right one is unpacked in its place."""
    known, root = torchvision.datasets.CIFAR10, tmp_path / "data"
    write_cifar10(tmp_path / "made", monkeypatch)
    archive = tmp_path / "www" / known.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / known.base_folder, known.base_folder)
    monkeypatch.setattr(known, "url", f"{server}/{known.filename}")
    color = functools.partial(load, source="cifar10", data_path=str(root), image_size=32)
    with pytest.raises(RequestError) as error:  # torchvision's own checksum, not this file's
        color(download=True)
    assert "corrupted" in message(error)
    assert not root.exists()
    monkeypatch.setattr(known, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert np.array_equal(color(download=True), cifar_pixels(range(5)))
    assert [path.name for path in root.iterdir()] == [known.base_folder]
    archive.unlink()
    assert len(color(download=True)) == 10  # all there: nothing to ask the server for


# Batches


def pictures_of(count: int, size: int = 4) -> np.ndarray:
    """uint8 (N, 3, size, size), all different, and no two rows of pixels the same from left and from right."""
    return np.random.default_rng(7).integers(0, 256, (count, 3, size, size), np.uint8)


@pytest.mark.parametrize("resident_bytes", [None, 0])
def test_a_batch_is_a_function_of_seed_and_number(resident_bytes):
    images = pictures_of(10)
    make = functools.partial(Batches, images, 4, horizontal_flip=True, device=CPU, resident_bytes=resident_bytes)
    forwards = [make(seed=3)[k].clone() for k in range(6)]
    one = make(seed=3)
    for k in (5, 0, 3, 3, 1, 4, 2, 0):
        assert torch.equal(one[k], forwards[k]) and one[k].dtype == torch.uint8 and one[k].shape == (4, 3, 4, 4)
    assert not all(torch.equal(make(seed=4)[k], forwards[k]) for k in range(6))
    assert torch.equal(make(seed=3)[10**9], one[10**9])


@pytest.mark.parametrize("count, batch_size", [(10, 4), (7, 7), (3, 8), (1, 5), (5, 1)])
def test_every_epoch_shows_each_picture_once(count, batch_size):
    batches = Batches(pictures_of(count), batch_size, 0, False, CPU)
    stream = torch.cat([batches.indices(k) for k in range(3 * count)])  # 3 B epochs
    epochs = stream.reshape(-1, count)
    assert torch.equal(epochs.sort(1).values, torch.arange(count).expand_as(epochs))
    assert batches.steps_per_epoch == count / batch_size
    if count >= 5:
        assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1  # another order each time


def test_batches_are_the_pictures_of_their_indices():
    images = pictures_of(10)
    batches = Batches(images, 4, 0, False, CPU)
    for k in range(5):
        assert np.array_equal(batches[k].numpy(), images[batches.indices(k).numpy()])
        assert not batches.flips(k).any()


def test_flips_are_mirror_images_of_about_half():
    images = pictures_of(10)
    batches = Batches(images, 50, 0, True, CPU)
    mirrored = 0
    for k in range(8):
        for picture, index, flip in zip(batches[k].numpy(), batches.indices(k), batches.flips(k)):
            assert np.array_equal(picture, images[index][:, :, ::-1] if flip else images[index])
            mirrored += bool(flip)
    assert 150 < mirrored < 250  # of 400; the standard deviation is 10
    assert torch.equal(batches.indices(5), Batches(images, 50, 0, False, CPU).indices(5))  # flips leave the order alone


def devices() -> list[torch.device]:
    return [CPU] + [torch.device("cuda")] * torch.cuda.is_available()


@pytest.mark.parametrize("device", devices(), ids=str)
def test_resident_and_streamed_batches_are_identical(load, tmp_path, device):
    images = load(source="mnist_mini", data_path=None, image_size=28, image_channel=1, split="test")
    resident = Batches(images, 96, 1, True, device, resident_bytes=2**30)
    streamed = Batches(images, 96, 1, True, device, resident_bytes=0)
    reference = Batches(images, 96, 1, True, CPU)
    for k in [*range(25), 3, 100, 101]:
        assert streamed[k].device.type == device.type
        assert torch.equal(resident[k], streamed[k]) and torch.equal(resident[k].cpu(), reference[k])


def test_a_batch_may_be_changed_without_changing_the_set():
    for resident_bytes in (None, 0):
        batches = Batches(pictures_of(4), 4, 0, False, CPU, resident_bytes=resident_bytes)
        before = batches[0].clone()
        batches[0].zero_()
        assert torch.equal(batches[0], before)


def test_sources_are_these():
    assert list(SOURCES) == ["folder", "mnist_mini", "emoji", "mnist", "fashion_mnist", "cifar10", "flower102"]
