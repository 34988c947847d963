"""Arrays of pictures -> batches."""

import functools

import numpy as np
import pytest
import torch

from datasets import Batches
from tests.pictures import CPU

# Batches


def pictures_of(count: int, size: int = 4) -> np.ndarray:
    """uint8 (N, 3, size, size), all different, and no two rows of pixels the same from left and from right."""
    return np.random.default_rng(7).integers(0, 256, (count, 3, size, size), np.uint8)


@pytest.mark.parametrize("resident_bytes", [None, 0])
def test_a_batch_is_a_function_of_seed_and_number(resident_bytes):
    images = pictures_of(10)
    make = functools.partial(Batches, images, 4, horizontal_flip=True, device=CPU, resident_bytes=resident_bytes)
    forwards = [make(seed=3)[k].images.clone() for k in range(6)]
    one = make(seed=3)
    for k in (5, 0, 3, 3, 1, 4, 2, 0):
        assert torch.equal(one[k].images, forwards[k]) and one[k].labels is None
        assert one[k].images.dtype == torch.uint8 and one[k].images.shape == (4, 3, 4, 4)
    assert not all(torch.equal(make(seed=4)[k].images, forwards[k]) for k in range(6))
    assert torch.equal(make(seed=3)[10**9].images, one[10**9].images)


@pytest.mark.parametrize("count, batch_size", [(10, 4), (7, 7), (3, 8), (1, 5), (5, 1)])
def test_every_epoch_shows_each_picture_once(count, batch_size):
    batches = Batches(pictures_of(count), batch_size, 0, False, CPU)
    stream = torch.cat([batches.indices(k) for k in range(3 * count)])  # 3 B epochs
    epochs = stream.reshape(-1, count)
    assert torch.equal(epochs.sort(1).values, torch.arange(count).expand_as(epochs))
    if count >= 5:
        assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1  # another order each time


def test_batches_are_the_pictures_of_their_indices():
    images = pictures_of(10)
    batches = Batches(images, 4, 0, False, CPU)
    for k in range(5):
        assert np.array_equal(batches[k].images.numpy(), images[batches.indices(k).numpy()])
        assert not batches.flips(k).any()


def test_flips_are_mirror_images_of_about_half():
    images = pictures_of(10)
    batches = Batches(images, 50, 0, True, CPU)
    mirrored = 0
    for k in range(8):
        for picture, index, flip in zip(batches[k].images.numpy(), batches.indices(k), batches.flips(k)):
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
        ours, theirs, expected = resident[k].images, streamed[k].images, reference[k].images
        assert theirs.device.type == device.type
        assert torch.equal(ours, theirs) and torch.equal(ours.cpu(), expected)


@pytest.mark.parametrize("resident_bytes", [None, 0])
@pytest.mark.parametrize("device", devices(), ids=str)
def test_labels_go_with_their_pictures(device, resident_bytes):
    """Picture i is all of value i and its label is 7 i: flips and rows leave the pairs together."""
    images = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, axis=1).repeat(4, axis=2).repeat(4, axis=3)
    labels = 7 * np.arange(10)
    for rows in (slice(None), slice(1, 4)):
        options = {"rows": rows, "resident_bytes": resident_bytes}
        batches = Batches(images, 6, 0, True, device, labels=labels, **options)
        plain = Batches(images, 6, 0, True, device, **options)
        for k in (0, 1, 2, 50, 3):
            batch = batches[k]
            assert batch.labels.dtype == torch.int64 and batch.labels.device.type == device.type
            assert torch.equal(batch.labels.cpu(), 7 * batches.indices(k))
            assert torch.equal(batch.images[:, 0, 0, 0].long() * 7, batch.labels)
            assert torch.equal(batch.images, plain[k].images) and plain[k].labels is None


def test_a_batch_may_be_changed_without_changing_the_set():
    for resident_bytes in (None, 0):
        batches = Batches(pictures_of(4), 4, 0, False, CPU, resident_bytes=resident_bytes)
        before = batches[0].images.clone()
        batches[0].images.zero_()
        assert torch.equal(batches[0].images, before)
