"""Arrays in .npy and .npz files: both orders of axes, labels, splits, and what is refused."""

import io
import pickle
import zipfile

import numpy as np
import pytest

import datasets.archives
from tests.datasets.packs import CLASSES, LABELS, pixels, refused
from tests.pictures import message
from tests.utils.test_checkpoints import Mark
from utils.errors import RequestError

IMAGES = pixels()  # (6, 8, 8, 3)
EXPECTED = IMAGES.transpose(0, 3, 1, 2)


def saved(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize(
    "stored, channels, expected",
    [
        (IMAGES, 3, EXPECTED),
        (EXPECTED, 3, EXPECTED),
        (IMAGES[..., 0], 1, EXPECTED[:, :1]),
        (IMAGES[..., :1], 1, EXPECTED[:, :1]),
        (EXPECTED[:, :1], 1, EXPECTED[:, :1]),
        (IMAGES[:, :7, :5], 3, None),
        (np.concatenate([IMAGES, np.full_like(IMAGES[..., :1], 255)], -1), 3, EXPECTED),
    ],
    ids=["NHWC", "NCHW", "NHW", "NHW1", "N1HW", "other size", "opaque RGBA"],
)
def test_each_order_of_axes(dataset, tmp_path, stored, channels, expected):
    np.save(tmp_path / "a.npy", stored)
    np.savez_compressed(tmp_path / "b.npz", images=stored)
    found = [dataset(data_path=str(tmp_path / name), image_channel=channels).load() for name in ("a.npy", "b.npz")]
    assert np.array_equal(found[0].images, found[1].images) and found[0].labels is None
    if expected is not None:
        assert np.array_equal(found[0].images, expected)


@pytest.mark.parametrize(
    "arrays, names",
    [
        ({"images": IMAGES, "labels": np.array(LABELS)}, ("0", "1", "2")),
        ({"arr_0": IMAGES, "arr_1": np.array(LABELS, np.int32)}, ("0", "1", "2")),
        ({"x_train": IMAGES, "y_train": np.array(LABELS, np.uint8)}, ("0", "1", "2")),
        ({"train_images": IMAGES, "train_labels": np.array(LABELS)[:, None]}, ("0", "1", "2")),
        ({"pictures": IMAGES, "labels": np.array(LABELS), "classes": np.array(CLASSES)}, CLASSES),
    ],
    ids=["ours", "improved-diffusion", "Keras", "MedMNIST", "the only one"],
)
def test_labels(dataset, tmp_path, arrays, names):
    data = dataset(data_path=saved(tmp_path / "a.npz", **arrays))
    assert data.class_names() == names and data.num_classes() == 3 and not data.has_split("test")
    loaded = data.load(require_labels=True)
    assert loaded.labels.tolist() == LABELS and np.array_equal(loaded.images, EXPECTED) and data.survey().lines() == []


def test_splits(dataset, tmp_path):
    labels = np.array(LABELS)
    data = dataset(
        data_path=saved(tmp_path / "a.npz", x_train=IMAGES, y_train=labels, x_test=IMAGES[:2], y_test=labels[4:])
    )
    assert data.has_split("test") and data.count() == 6 and len(data.load().images) == 6
    test = data.load("test", require_labels=True)
    assert np.array_equal(test.images, EXPECTED[:2]) and test.labels.tolist() == [2, 2]
    with pytest.raises(RequestError, match="no 'test' split"):
        dataset(data_path=saved(tmp_path / "b.npz", images=IMAGES)).load("test")


def test_labels_that_are_no_classes_leave_the_pictures(dataset, tmp_path):
    for labels in (np.zeros((6, 14), np.int64), np.array(LABELS) / 2, np.array(LABELS[:5]), -np.array(LABELS)):
        data = dataset(data_path=saved(tmp_path / "a.npz", images=IMAGES, labels=labels))
        assert data.load().labels is None and data.num_classes() == 0
        [note] = data.survey().lines()
        with pytest.raises(RequestError) as error:
            data.load(require_labels=True)
        assert note.startswith("without classes: ") and note.removeprefix("without classes: ") in message(error)
        (tmp_path / "a.npz").unlink()


@pytest.mark.parametrize(
    "stored, words",
    [
        (IMAGES / 255, "multiply values from 0 to 1 by 255"),
        (IMAGES[..., None], "(N, H, W, C)"),
        (IMAGES[0, 0], "(N, H, W, C)"),
        (IMAGES[:0], "(N, H, W, C)"),
        (IMAGES.reshape(6, 2, 32, 3)[..., [0, 1]], "1, 3 or 4 channels"),
        (np.zeros((6, 3, 8, 1), np.uint8), "does not tell which axis"),
        (np.asfortranarray(IMAGES), "ascontiguousarray"),
    ],
    ids=["floats", "five axes", "two axes", "none", "two channels", "ambiguous", "Fortran"],
)
def test_what_cannot_be_pictures(dataset, tmp_path, stored, words):
    np.savez(tmp_path / "a.npz", images=stored)
    refused(dataset, tmp_path / "a.npz", words)
    if not stored.flags.f_contiguous or stored.ndim < 2 or stored.size == 0:
        np.save(tmp_path / "a.npy", stored)
        refused(dataset, tmp_path / "a.npy", words)


def npy(head: str, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + body


def test_no_pickle_is_opened_and_no_claim_believed(dataset, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    evil = pickle.dumps([Mark(str(mark))])
    claim = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1000, 1000, 3)}\n"
    code = "{'descr': '|u1', 'fortran_order': False, 'shape': __import__('os').system('true')}\n"
    objects = npy("{'descr': '|O', 'fortran_order': False, 'shape': (6, 8, 8)}\n", evil)
    for content, words in ((evil, "damaged"), (objects, "damaged"), (npy(claim), "damaged"), (npy(code), "damaged"), (b"", "damaged")):
        (tmp_path / "a.npy").write_bytes(content)
        refused(dataset, tmp_path / "a.npy", words)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("images.npy", content)
        refused(dataset, tmp_path / "a.npz", "no array of pictures")
        np.savez(tmp_path / "b.npz", images=IMAGES)
        with zipfile.ZipFile(tmp_path / "b.npz", "a") as archive:
            archive.writestr("labels.npy", content)
        assert dataset(data_path=str(tmp_path / "b.npz"), cache_dir=str(tmp_path / "c")).load().labels is None
    assert not mark.exists()
    monkeypatch.setattr(datasets.archives, "SMALL", 2**20)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((20, 256, 256), np.uint8))
    with zipfile.ZipFile(tmp_path / "d.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", buffer.getvalue())
    refused(dataset, tmp_path / "d.npz", "decompression bomb")


def test_damaged_files(dataset, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    np.save(tmp_path / "a.npy", IMAGES)
    for name in ("a.npz", "a.npy"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        refused(dataset, tmp_path / name, "damaged")
    np.savez(tmp_path / "b.npz", images=IMAGES)
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npz").read_bytes())  # a zip by the name of an array
    refused(dataset, tmp_path / "b.npy", "damaged")
    content = bytearray((tmp_path / "b.npz").read_bytes())
    content[content.index(IMAGES.tobytes()) + 100] ^= 1
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(RequestError, match="b.npz is damaged.*CRC"):
        dataset(data_path=str(tmp_path / "b.npz")).load()


def test_an_array_has_no_folders(dataset, tmp_path):
    with pytest.raises(RequestError, match="class_from_folder is for folders, zip and tar files"):
        dataset(data_path=saved(tmp_path / "a.npz", images=IMAGES), class_from_folder=True).load()
