"""What data_path may be: each kind gives the pictures, labels, counts and errors that the folder gives."""

import json
import tarfile
import zipfile

import numpy as np
import pytest

import datasets.archive_sets
from tests.datasets.packs import (
    CLASSES,
    LABELS,
    NAMES,
    edm_labels,
    files,
    pixels,
    write_folder,
    write_tar,
    write_zip,
)
from tests.pictures import cache_files, message, solid
from tests.processes import run as script
from utils.errors import RequestError

OTHER = {"notes.txt": b"?", "cat/.hidden.png": b"?", "__MACOSX/cat/._a.png": b"?", "cat/a.heic": b"?"}
PACKERS = {
    "a.zip": write_zip,
    "stored.ZIP": lambda path, content: write_zip(path, content, zipfile.ZIP_STORED),
    "a.tar": write_tar,
    "gnu.tar": lambda path, content: write_tar(path, content, format=tarfile.GNU_FORMAT),
    "a.tar.gz": lambda path, content: write_tar(path, content, "w:gz"),
    "a.tgz": lambda path, content: write_tar(path, content, "w:gz"),
    "a.tar.bz2": lambda path, content: write_tar(path, content, "w:bz2"),
    "a.tar.xz": lambda path, content: write_tar(path, content, "w:xz"),
}


def in_another_order(content: dict[str, bytes], below: str = "") -> dict[str, bytes]:
    return {below + name: content[name] for name in sorted(content, key=lambda name: name[::-1])}


@pytest.mark.parametrize("below", ["", "./", "packed/"])
@pytest.mark.parametrize("name", PACKERS)
def test_an_archive_is_what_its_folder_is(dataset, tmp_path, name, below):
    """The same rows in the same order, so that the same training follows, whatever the order in the archive."""
    content = {**files(), **OTHER}
    folder = dataset(data_path=str(write_folder(tmp_path / "in", content)), class_from_folder=True)
    path = PACKERS[name](tmp_path / name, in_another_order(content, below))
    data = dataset(data_path=str(path), class_from_folder=True)
    assert data.count() == folder.count() == len(NAMES) and data.class_names() == folder.class_names() == CLASSES
    assert data.survey().left_out == {"hidden": 2, ".txt": 1, ".heic": 1}
    assert dataset(data_path=str(path), image_size=9).survey().smaller == 6
    assert cache_files(tmp_path) == []  # so far nothing was written
    for _ in range(2):  # as decoded, and as the cache has it
        loaded, expected = data.load(require_labels=True), folder.load()
        assert np.array_equal(loaded.images, pixels().transpose(0, 3, 1, 2)) and np.array_equal(loaded.images, expected.images)
        assert loaded.labels.tolist() == LABELS == expected.labels.tolist() and loaded.class_names == CLASSES
    assert dataset(data_path=str(path)).load().labels is None
    assert not data.has_split("test")


def test_the_list_of_an_archive_is_made_once(dataset, tmp_path, monkeypatch):
    path, listings = write_zip(tmp_path / "a.zip", files()), []
    whole = datasets.archive_sets.list_archive
    monkeypatch.setattr(datasets.archive_sets, "list_archive", lambda path: listings.append(path) or whole(path))
    data = dataset(data_path=str(path), class_from_folder=True)
    data.count(), data.num_classes(), data.survey(), data.load()
    assert len(listings) == 1
    datasets.archive_sets.list_once.cache_clear()  # another process
    data.count(), data.num_classes(), data.survey(), data.load(), dataset(data_path=str(path), image_size=4).load()
    assert len(listings) == 1
    content = files()
    del content["dog/c.png"]
    write_zip(path, content)
    assert data.count() == 5 and len(data.load().images) == 5 and len(listings) == 2
    assert len([name for name in cache_files(tmp_path) if "_index_" in name.name]) == 1


def test_a_long_name_and_a_name_that_is_no_text(dataset, tmp_path):
    content = {f"{'x' * 150}/{'y' * 120}.png": files()[NAMES[0]], "caf\udce9.png": files()[NAMES[1]]}
    for path in (write_tar(tmp_path / "a.tar", content), write_tar(tmp_path / "b.tar", content, format=tarfile.GNU_FORMAT)):
        assert np.array_equal(dataset(data_path=str(path)).load().images, pixels()[[1, 0]].transpose(0, 3, 1, 2))


def test_a_later_member_of_the_same_name_counts(dataset, tmp_path):
    with tarfile.open(write_tar(tmp_path / "a.tar", files()), "a") as archive:
        write_folder(tmp_path, {"new.png": files()[NAMES[5]]})
        archive.add(tmp_path / "new.png", NAMES[0])
    data = dataset(data_path=str(tmp_path / "a.tar"))
    assert data.count() == 6 and data.survey().left_out == {"replaced by a later file of the same name": 1}
    assert np.array_equal(data.load().images[0], pixels()[5].transpose(2, 0, 1))


# EDM's labels


@pytest.mark.parametrize("kind", ["folder", "a.zip", "a.tar"])
def test_edm_labels(dataset, tmp_path, kind):
    content = {**files(), "dataset.json": edm_labels([3, 1, 1, 0, 0, 0])}
    place = write_folder(tmp_path / "in", content) if kind == "folder" else PACKERS[kind](tmp_path / kind, content)
    data = dataset(data_path=str(place))
    images, labels, names = data.load(require_labels=True)[:3]
    assert labels.tolist() == [3, 1, 1, 0, 0, 0] and names == ("0", "1", "2", "3") == data.class_names()
    assert len(images) == 6 and data.survey().left_out == {}
    by_folder = dataset(data_path=str(place), class_from_folder=True).load()
    assert by_folder.class_names == CLASSES and by_folder.labels.tolist() == LABELS
    assert data.load().labels.tolist() == [3, 1, 1, 0, 0, 0]
    if kind == "folder":
        (place / "dataset.json").write_bytes(edm_labels([1, 1, 1, 0, 0, 0]))
        assert data.load().labels.tolist() == [1, 1, 1, 0, 0, 0] and data.num_classes() == 2


@pytest.mark.parametrize(
    "text, words",
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"labels": [1]}', "no list of"),
        ('{"labels": {"a": 1}}', "no list of"),
        (edm_labels([0, 0, 0, 0, 0, -1]).decode(), "dog/c.png has the label -1"),
        (edm_labels([0, 0, [0.5], 0, 0, 0]).decode(), "cat/b.png has the label [0.5]"),
        (edm_labels(LABELS[:5]).decode(), "dog/c.png is not in it"),
    ],
)
def test_labels_of_edm_that_are_none(dataset, tmp_path, text, words):
    path = write_zip(tmp_path / "a.zip", {**files(), "dataset.json": text.encode()})
    with pytest.raises(RequestError) as error:
        dataset(data_path=str(path)).load()
    assert words in message(error) and "a.zip: dataset.json" in message(error)


@pytest.mark.parametrize("text", ['{"labels": null}', "[]", '{"name": "of something else"}'])
def test_a_dataset_json_without_labels(dataset, tmp_path, text):
    path = write_zip(tmp_path / "a.zip", {**files(), "dataset.json": text.encode()})
    data = dataset(data_path=str(path))
    assert data.load().labels is None and data.num_classes() == 0
    with pytest.raises(RequestError, match="EDM's dataset.json"):
        data.load(require_labels=True)


# What every kind refuses


def test_what_is_no_data(dataset, tmp_path):
    solid(0).save(tmp_path / "a.png")
    for name in ("a.rar", "b.h5"):
        (tmp_path / name).write_bytes(b"?")
    for name, words in {
        "a.png": "is a picture, not a folder",
        "a.rar": ".zip, .tar, .tar.gz",
        "b.h5": ".npz, .parquet",
        "none.zip": "does not exist",
    }.items():
        with pytest.raises(RequestError) as error:
            dataset(data_path=str(tmp_path / name)).count()
        assert words in message(error) and name in message(error)


def test_unreadable_pictures_in_an_archive(dataset, tmp_path, capsys):
    content = {**files(), "cat/b.png": b"?", "dog/a.png": files()["dog/a.png"][:60]}
    path = write_zip(tmp_path / "a.zip", content)
    with pytest.raises(RequestError, match="a.zip: cat/b.png .*skip_unreadable"):
        dataset(data_path=str(path)).load()
    loaded = dataset(data_path=str(path), class_from_folder=True, skip_unreadable=True).load()
    assert loaded.labels.tolist() == [0, 1, 2, 2]
    assert np.array_equal(loaded.images, pixels()[[0, 1, 4, 5]].transpose(0, 3, 1, 2))
    assert "skipped 2 unreadable pictures" in capsys.readouterr().err
    # A cache without some pictures is none for who wants all of them; one with all is one for both.
    with pytest.raises(RequestError, match="cat/b.png"):
        dataset(data_path=str(path), class_from_folder=True).load()
    loose = write_zip(tmp_path / "b.zip", {**files(), "a.png": b"?"})
    with pytest.raises(RequestError, match="pictures outside of folders .such as a.png"):
        dataset(data_path=str(loose), class_from_folder=True).load()


def test_the_plan_of_a_training_on_a_file(tmp_path):
    """As a user types it."""
    np.savez(tmp_path / "a.npz", images=pixels(), labels=np.array(LABELS))
    entry = {"data": {"data_path": str(tmp_path / "a.npz"), "image_size": 16}, "model": {"num_classes": 3}}
    (tmp_path / "c.yaml").write_text(json.dumps({"Train_Data": {"Mine": entry}}))
    ended = script("train_solver.py", "--data_name", "Mine", "--config", tmp_path / "c.yaml", "--dry_run")
    assert ended.returncode == 0, ended.stderr
    assert "Mine, 6 pictures, 16x16" in ended.stdout and "smaller than 16x16, and enlarged: 6 of 6 pictures" in ended.stdout
