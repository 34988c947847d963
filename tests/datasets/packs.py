"""The same small pictures as a folder, a zip, tars, arrays and parquet files."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import cache_files, message
from utils.errors import RequestError

CLASSES = ("Zebra", "cat", "dog")
NAMES = ["Zebra/deep/c.png", "cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png", "dog/c.png"]  # sorted
LABELS = [0, 1, 1, 2, 2, 2]


def pixels() -> np.ndarray:
    """uint8 (6, 8, 8, 3), all different."""
    return np.random.default_rng(0).integers(0, 256, (len(NAMES), 8, 8, 3), np.uint8)


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    """The content of each file by its name."""
    return {name: png(picture) for name, picture in zip(NAMES, pixels())}


def write_folder(place: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def write_zip(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, content: dict[str, bytes], mode: str = "w", format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, mode, format=format) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def edm_labels(labels=LABELS) -> bytes:
    return json.dumps({"labels": [[name, label] for name, label in zip(NAMES, labels)]}).encode()


def hub_table(content: dict[str, bytes], labels=LABELS, names=CLASSES, image: str = "image"):
    """The Hub's layout, as its own library writes it."""
    import pyarrow

    struct = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    rows = [{"bytes": data, "path": name} for name, data in content.items()]
    table = pyarrow.table({image: pyarrow.array(rows, struct), "label": pyarrow.array(labels, pyarrow.int64())})
    if names is None:
        return table
    features = {image: {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def refused(dataset, path, *words: str) -> None:
    """Each question is answered by the same line, with `words` and the file's name, and nothing is written."""
    for request in (dataset(data_path=str(path)).count, dataset(data_path=str(path)).load):
        with pytest.raises(RequestError) as error:
            request()
        assert all(word in message(error) for word in (*words, path.name)), message(error)
    assert cache_files(path.parent) == []
