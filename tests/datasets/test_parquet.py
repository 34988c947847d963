"""Parquet files in the Hub's layout: classes, splits, groups of rows, and what is refused."""

import builtins
import json

import numpy as np
import pyarrow
import pyarrow.parquet as pq
import pytest

import datasets.archives
from tests.datasets.packs import CLASSES, LABELS, files, hub_table, pixels
from tests.pictures import message
from utils.errors import RequestError

EXPECTED = pixels().transpose(0, 3, 1, 2)


@pytest.mark.parametrize("group", [1, 2, 4, 100])
@pytest.mark.parametrize("column", ["image", "img"])
def test_the_hub_s_layout(dataset, tmp_path, group, column):
    pq.write_table(hub_table(files(), image=column), tmp_path / "a.parquet", row_group_size=group)
    data = dataset(data_path=str(tmp_path / "a.parquet"))
    assert data.count() == 6 and data.class_names() == CLASSES and data.survey().lines() == []
    loaded = data.load(require_labels=True)
    assert np.array_equal(loaded.images, EXPECTED) and loaded.labels.tolist() == LABELS and loaded.class_names == CLASSES
    assert dataset(data_path=str(tmp_path / "a.parquet"), image_size=9).survey().smaller == 6


def test_a_folder_as_it_is_downloaded(dataset, tmp_path):
    place = tmp_path / "in" / "data"
    place.mkdir(parents=True)
    (tmp_path / "in" / "README.md").write_text("?")
    table = hub_table(files())
    pq.write_table(table.slice(0, 4), place / "train-00000-of-00002.parquet", row_group_size=3)
    pq.write_table(table.slice(4), place / "train-00001-of-00002.parquet")
    pq.write_table(table.slice(2, 3), place / "test-00000-of-00001.parquet")
    data = dataset()
    assert data.count() == 6 and data.has_split("test") and data.survey().left_out == {".md": 1, ".parquet": 1}
    assert np.array_equal(data.load().images, EXPECTED) and data.load().labels.tolist() == LABELS
    assert np.array_equal(data.load("test").images, EXPECTED[2:5]) and data.load("test").labels.tolist() == LABELS[2:5]
    pq.write_table(pyarrow.table({"other": [1]}), place / "train-00002-of-00003.parquet")
    with pytest.raises(RequestError, match="train-00002-of-00003.parquet has other columns"):
        data.load()
    with pytest.raises(RequestError, match="class_from_folder is for folders, zip and tar"):
        dataset(class_from_folder=True).load()


@pytest.mark.parametrize("image", [pyarrow.binary(), pyarrow.large_binary()])
@pytest.mark.parametrize("labels, names", [([5, 1, 1, 0, 0, 0], tuple("012345")), (["b", "a", "a", "c", "c", "c"], ("a", "b", "c")), (None, ())])
def test_plain_columns(dataset, tmp_path, image, labels, names):
    columns = {"picture": pyarrow.array(list(files().values()), image)} | ({} if labels is None else {"label": labels})
    pq.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    data = dataset(data_path=str(tmp_path / "a.parquet"))
    loaded = data.load()
    assert np.array_equal(loaded.images, EXPECTED) and loaded.class_names == names == data.class_names()
    if labels is None:
        assert loaded.labels is None
        with pytest.raises(RequestError, match="no column label"):
            data.load(require_labels=True)
    else:
        assert [names[label] for label in loaded.labels] == [str(label) for label in labels]


def test_two_columns_of_classes(dataset, tmp_path):
    """As CIFAR-100 has them: which was taken is said."""
    table = hub_table(files(), names=None).rename_columns(["img", "fine_label"])
    table = table.append_column("coarse_label", pyarrow.array([0] * 6))
    kinds = {"fine_label": {"names": list(CLASSES)}, "coarse_label": {"names": ["animal"]}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": kinds}})})
    pq.write_table(table, tmp_path / "a.parquet")
    data = dataset(data_path=str(tmp_path / "a.parquet"))
    assert data.survey().lines() == ["classes by the column fine_label, not by coarse_label"]
    assert data.load().class_names == CLASSES and data.load().labels.tolist() == LABELS


def test_a_row_without_a_picture_is_unreadable(dataset, tmp_path):
    content = {**files(), "cat/b.png": b"?", "dog/b.png": None}
    pq.write_table(hub_table(content), tmp_path / "a.parquet", row_group_size=4)
    with pytest.raises(RequestError, match="a.parquet: row 2 .cannot identify"):
        dataset(data_path=str(tmp_path / "a.parquet")).load()
    loaded = dataset(data_path=str(tmp_path / "a.parquet"), skip_unreadable=True).load()
    assert np.array_equal(loaded.images, EXPECTED[[0, 1, 3, 5]]) and loaded.labels.tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": {"features": {"label": {"names": 3}}}}', b"[" * 100_000])
def test_odd_metadata_costs_only_the_names(dataset, tmp_path, metadata):
    table = hub_table(files(), names=None).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "a.parquet")
    assert dataset(data_path=str(tmp_path / "a.parquet")).load().class_names == ("0", "1", "2")


def test_what_is_refused(dataset, tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"

    def refused(*words: str) -> None:
        with pytest.raises(RequestError) as error:
            dataset(data_path=str(path)).load(require_labels=True)
        assert all(word in message(error) for word in (*words, "a.parquet"))

    pq.write_table(pyarrow.table({"text": ["a"], "number": [1]}), path)
    refused("no column of pictures", "text: string")
    pq.write_table(hub_table(files(), labels=[0, 1, None, 2, 2, 2]), path)
    refused("1 rows of the column label hold none")
    pq.write_table(hub_table(files(), labels=[0, 1, 7, 2, 2, 2]), path)
    refused("the column label holds 0 to 7, where 0 to 2 are classes")
    data = dataset(data_path=str(path))
    assert data.load().labels is None and data.survey().lines()[0].startswith("without classes: the column label")
    pq.write_table(hub_table({}, labels=[]), path)
    refused("no rows")
    pq.write_table(pyarrow.table({"image": pyarrow.nulls(10**7, pyarrow.binary())}), path)
    refused("claims 10,000,000 rows")
    monkeypatch.setattr(datasets.archives, "SMALL", 2**20)
    pq.write_table(pyarrow.table({"image": [bytes(2**22)]}), path, compression="zstd", use_dictionary=False)
    refused("decompression bomb")
    pq.write_table(hub_table(files()), path)
    whole = path.read_bytes()
    for content in (b"", whole[:-20], whole[100:], b"PAR1" + b"\xff" * 100 + b"PAR1", whole[:4] + b"?" * 400 + whole[404:]):
        path.write_bytes(content)
        refused("a.parquet")
    path.write_bytes(whole)
    plain = builtins.__import__

    def without(name, *options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return plain(name, *options)

    monkeypatch.setattr(builtins, "__import__", without)
    refused("pip install -r requirements-parquet.txt")
