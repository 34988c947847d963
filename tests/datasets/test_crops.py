"""Crops at random places: what is kept to crop from, which crops a batch has, and the one crop that all else looks at."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datasets import Batches
from datasets.crops import HEAD, crop, draw_places
from datasets.decode import decode_picture
from datasets.shaping import LONGEST, Shaping
from tests.datasets.test_shaping import places
from tests.pictures import CPU, RED, cache_files, solid
from utils.seeds import generator

SIZES = [(20, 16), (16, 24), (16, 16), (33, 17)]  # height, width
SHAPE = (3, 10, 12)


@pytest.fixture
def slots(folder, dataset):
    """Pictures of several sizes that are scaled to a shorter side of 16 and kept to be cropped; N slots."""
    for i, size in enumerate(SIZES):
        picture = np.asarray(places(*size)).copy()
        picture[..., 2] = 50 * i
        Image.fromarray(picture).save(folder / f"{i}.png")
    return dataset(image_size=[10, 12], crop="random", resize=16).load(cropped=False).images


def make(slots, **options):
    options = {"batch_size": 6, "seed": 3, "horizontal_flip": False, "device": CPU, "cropped_to": SHAPE} | options
    return Batches(slots, **options)


def window(pixels):
    """The rows and columns of `places` that a crop shows, if it is a window of it."""
    top, left = int(pixels[0, 0, 0]), int(pixels[1, 0, 0])
    rows, columns = np.indices(pixels.shape[1:])
    assert (pixels[0] == rows + top).all() and (pixels[1] == columns + left).all()
    return top, left


def test_a_slot_holds_the_whole_scaled_picture():
    shaping = Shaping(3, 10, 12, "random", 16)
    for height, width in ((16, 24), (31, 16), (16, 16)):
        slot = decode_picture(places(height, width), shaping)
        assert slot.shape == shaping.stored == (HEAD + 3 * LONGEST * 16 * 16,)
        assert slot[:HEAD].tolist() == [0, height, 0, width]
        whole = crop(torch.from_numpy(slot)[None], torch.zeros(1, 2, dtype=torch.int64), (3, height, width))[0].numpy()
        assert np.array_equal(whole, np.asarray(places(height, width)).transpose(2, 0, 1))


@pytest.mark.parametrize(
    "size, resize, scaled",
    [
        ((40, 30), None, (16, 12)),
        ((10, 90), None, (10, 24)),  # longer than twice what is to be covered: its middle
        ((50, 900), 16, (16, 32)),
        ((900, 50), 16, (32, 16)),
        ((50, 900), (20, 30), (20, 30)),
        ((1, 900), 16, (16, 32)),
    ],
)
def test_what_is_kept_covers_the_crop_and_is_bounded(size, resize, scaled):
    shaping = Shaping(3, 10, 12, "random", resize)
    slot = decode_picture(solid(RED, size[::-1]), shaping)
    assert (slot[1], slot[3]) == scaled and slot.shape == shaping.stored
    pixels = crop(torch.from_numpy(slot)[None], torch.tensor([[2**31 - 1, 2**31 - 1]]), SHAPE)
    assert torch.equal(pixels[0], torch.tensor(RED, dtype=torch.uint8)[:, None, None].expand(SHAPE))


def test_a_large_picture_s_height_takes_two_bytes():
    slot = decode_picture(solid(RED, (600, 300)), Shaping(1, 8, 8, "random", 300))
    assert slot[:HEAD].tolist() == [1, 44, 2, 88]
    pixels = crop(torch.from_numpy(slot)[None], draw_places(1, generator("cpu", 0)), (1, 8, 8))
    assert (pixels == 76).all()


def test_every_place_is_as_likely_as_another(slots):
    """Picture 1, 16 x 24 pixels, has 7 x 13 crops of 10 x 12."""
    draws = draw_places(9100, generator("cpu", "test"))
    pixels = crop(torch.from_numpy(np.array(slots[1:2])).expand(9100, -1), draws, SHAPE).numpy()
    counts = Counter(map(window, pixels))
    assert set(counts) == {(top, left) for top in range(7) for left in range(13)}
    chi_square = sum((count - 100) ** 2 / 100 for count in counts.values())
    assert chi_square < 150  # 90 degrees of freedom: 1 in 10,000 draws is beyond


@pytest.mark.parametrize("resident_bytes", [None, 0])
def test_crops_follow_from_seed_and_number(slots, resident_bytes):
    one = make(slots, resident_bytes=resident_bytes)
    forwards = [make(slots)[k].images.clone() for k in range(5)]
    for k in (4, 0, 3, 3, 1, 2, 0):
        assert one[k].images.shape == (6, *SHAPE) and torch.equal(one[k].images, forwards[k])
    assert not torch.equal(make(slots, seed=4)[0].images, forwards[0])
    for picture, index in zip(forwards[2].numpy(), one.indices(2)):
        assert (picture[2] == 50 * index.item()).all()
        if index in (1, 2):  # those that were not scaled
            window(picture)


@pytest.mark.parametrize("resident_bytes", [None, 0])
def test_processes_share_the_crops_of_a_batch_and_flips_come_after(slots, resident_bytes):
    whole = make(slots, horizontal_flip=True)
    parts = [make(slots, horizontal_flip=True, rows=rows, resident_bytes=resident_bytes) for rows in (slice(0, 2), slice(2, 6))]
    plain = make(slots)
    for k in range(4):
        assert torch.equal(torch.cat([part[k].images for part in parts]), whole[k].images)
        flips = whole.flips(k)[:, None, None, None]
        assert torch.equal(whole[k].images, torch.where(flips, plain[k].images.flip(-1), plain[k].images))


@pytest.mark.cuda
def test_crops_are_the_same_on_a_gpu(slots):
    for resident_bytes in (None, 0):
        there = make(slots, device=torch.device("cuda"), resident_bytes=resident_bytes)
        assert all(torch.equal(there[k].images.cpu(), make(slots)[k].images) for k in range(5))


def test_other_modes_see_one_crop_of_each_picture(slots, dataset, folder, tmp_path):
    data = dataset(image_size=[10, 12], crop="random", resize=16)
    images = data.load().images
    assert images.shape == (4, *SHAPE) and not images.flags.writeable
    assert window(images[1]) and window(images[2])
    kept = np.array(images)
    assert data.load().images.filename == images.filename and np.array_equal(data.load().images, kept)
    assert len(cache_files(tmp_path)) == 2
    Path(images.filename).write_bytes(Path(images.filename).read_bytes()[:200])
    assert np.array_equal(data.load().images, kept)
    solid(RED, (20, 20)).save(folder / "4.png")
    assert len(data.load().images) == 5 and len(cache_files(tmp_path)) == 2  # the old ones are gone


def test_labels_stay_with_slots(folder, dataset):
    for i, name in enumerate("ab"):
        (folder / name).mkdir()
        solid((100 * i + 50,) * 3, (20, 30)).save(folder / name / "1.png")
    data = dataset(crop="random", class_from_folder=True)
    for cropped in (True, False):
        assert data.load(cropped=cropped).labels.tolist() == [0, 1]
    loaded = data.load(cropped=False)
    batch = Batches(loaded.images, 4, 0, True, CPU, labels=loaded.labels, cropped_to=loaded.cropped_to)[0]
    assert torch.equal(batch.images[:, 0, 0, 0].long(), 100 * batch.labels + 50)


def test_examples_are_evenly_spread(slots):
    batches = make(slots)
    assert batches.examples(100).shape == (4, *SHAPE) and batches.examples(2)[:, 2, 0, 0].tolist() == [0, 100]
    plain = np.zeros((5, 3, 4, 4), np.uint8)
    assert Batches(plain, 2, 0, False, CPU).examples(2) is plain
