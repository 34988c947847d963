"""Parquet files in the layout of the Hugging Face Hub: a column of pictures' files, and one of their classes.

The Hub's own library is not needed (its name is this folder's): pyarrow reads the columns, and the names of the classes
stand in the schema.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from datasets.archives import check_ratio, why
from datasets.decode import UnreadablePictureError
from datasets.edm_labels import MOST_CLASSES, numbered
from datasets.folders import Listing, cache_name_of
from datasets.picture_set import Item, Items, Pictures, PictureSet
from utils.errors import RequestError, one_line

REQUIREMENTS = "requirements-parquet.txt"
IMAGES, LABELS = ("image", "img", "picture"), ("label", "labels", "class")  # names of columns, the likeliest first
BATCH = 64  # rows that are in memory at once
MOST_PARTS = 16  # of a group of rows
SPLIT = re.compile(r"(?:^|/)(train|test|validation|valid|val|dev)(?:[-_.0-9]|/|$)")


class Columns(NamedTuple):
    """What a schema says. image, label: names of columns, "" where there is no label; is_struct: whether a picture is a
    struct of bytes and path; class_names: (), where the schema has none; others: further columns of classes."""

    image: str
    is_struct: bool
    label: str
    class_names: tuple[str, ...]
    others: tuple[str, ...]


class ParquetPictures(Pictures):
    """Pictures in the rows of parquet files, a group of rows at a time."""

    def __init__(self, files: Sequence[str], columns: Columns):
        self.files, self.columns = files, columns
        self.groups: list[tuple[str, int, range]] = []  # file, number of the group in it, places
        start = 0
        for path in files:
            with opened(path) as file:
                for group in range(file.metadata.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    self.groups.append((path, group, range(start, stop)))
                    start = stop
        self.length = start

    def __len__(self) -> int:
        return self.length

    def name(self, number: int) -> str:
        path, _, places = next(group for group in self.groups if number in group[2])
        return f"{path}: row {number - min(g[2].start for g in self.groups if g[0] == path)}"

    def chunks(self, size: int) -> list[range]:
        """Groups of rows, a large one in a few parts: to begin inside of one means to read all before."""
        chunks = []
        for _, _, held in self.groups:
            step = max(size, -(-len(held) // MOST_PARTS))
            chunks += [range(start, min(start + step, held.stop)) for start in range(held.start, held.stop, step)]
        return chunks

    def read(self, places: range, limit: int | None = None) -> Iterator[tuple[int, Item]]:
        for path, group, held in self.groups:
            part = range(max(held.start, places.start), min(held.stop, places.stop))
            if part:
                cells = islice(self._cells(path, group), part.start - held.start, None)
                yield from ((number, content_of(cell)) for number, cell in zip(part, cells))

    def _cells(self, path: str, group: int) -> Iterator:
        """The pictures of a group of rows, pyarrow's scalars, a few in memory at once."""
        import pyarrow

        column, is_struct = self.columns.image, self.columns.is_struct
        try:
            with opened(path) as file:
                wanted = [f"{column}.bytes" if is_struct else column]
                for batch in file.iter_batches(BATCH, row_groups=[group], columns=wanted):
                    yield from batch.column(0).field("bytes") if is_struct else batch.column(0)
        except (pyarrow.ArrowException, OSError) as error:
            raise RequestError(f"{path} is damaged ({why(error)}); take another copy of it") from None

    def some(self, count: int, limit: int) -> Iterator[Item]:
        """At most `count` of the first rows of groups that are evenly spread."""
        groups = self.groups[:: max(1, -(-len(self.groups) // max(1, count // BATCH)))]
        for _, _, held in groups:
            for _, item in self.read(range(held.start, min(held.stop, held.start + max(1, count // len(groups))))):
                yield item


def content_of(cell) -> Item:
    """The bytes of a picture's file, from a cell of pyarrow's."""
    content = cell.as_py()
    return content if content else UnreadablePictureError("the row holds no picture, at most the path of one elsewhere")


def opened(path: str):
    """pyarrow's reader of a file. RequestError where it is none, or claims more than its bytes can hold."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise RequestError(f"{path}: parquet files need pyarrow: pip install -r {REQUIREMENTS}") from None
    size = os.path.getsize(path)
    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise RequestError(f"{path} is damaged, or no parquet file ({why(error)}); take another copy of it") from None
    if file.metadata.num_rows > size:
        raise RequestError(f"{path} claims {file.metadata.num_rows:,} rows in {size:,} bytes; take another copy of it")
    for group in range(file.metadata.num_row_groups):
        check_ratio(path, f"group {group} of its rows", file.metadata.row_group(group).total_byte_size, size)
    return file


def find_parquet(path: str, listing: Listing, split: str, require_labels: bool) -> PictureSet:
    """The pictures in those parquet files of the folder `path` that are of the split, or in the file `path` (called ".")."""
    names = listing.parquet
    taken = [name for name in names if split_of(name) == split] or [name for name in names if split_of(name) is None]
    if not taken:
        raise RequestError(f"data.data_path: {path} has no parquet file of the {split} split ({', '.join(names[:6])})")
    files = [os.path.normpath(os.path.join(path, name)) for name in taken]
    columns = columns_of(files)
    pictures = ParquetPictures(files, columns)
    if len(pictures) == 0:
        raise RequestError(f"data.data_path: {path} holds no picture: its parquet files have no rows")
    labels, class_names, reason = labels_and_names(tuple(files), columns)
    if require_labels and labels is None:
        raise RequestError(f"the pictures of {path} have no classes: {reason}")
    notes = [f"classes by the column {columns.label}, not by {', '.join(columns.others)}"] if columns.others else []
    if columns.label and labels is None:
        notes = [f"without classes: {reason}"]
    return PictureSet(
        "folder",
        cache_name_of(path),
        path,
        split,
        taken,
        len(pictures),
        partial(Items, pictures, labels),
        class_names,
        labels is not None,
        left_out=dict((listing.left_out - Counter({".parquet": len(taken)})).most_common()),
        notes=tuple(notes),
    )


def split_of(name: str) -> str | None:
    """`train`, `test` or another split, by a file's name as the Hub has it; None where it says nothing."""
    found = SPLIT.search(name.lower())
    return found[1] if found else None


def columns_of(files: Sequence[str]) -> Columns:
    """What the schema of the files, which must be the same, says. RequestError where there is no column of pictures."""
    with opened(files[0]) as first:
        schema = first.schema_arrow
    for path in files[1:]:
        with opened(path) as other:
            if other.schema_arrow.names != schema.names:
                raise RequestError(f"{path} has other columns than {files[0]}: {', '.join(other.schema_arrow.names)}")
    kinds = {field.name: str(field.type) for field in schema}
    features = hub_features(schema.metadata or {})
    pictures = [name for name, kind in kinds.items() if is_struct(kind) or kind.endswith("binary")]
    likely = [name for name in (*IMAGES, *pictures) if name in pictures]
    if not likely:
        shown = ", ".join(f"{one_line(name)}: {kind[:40]}" for name, kind in kinds.items())
        raise RequestError(f"{files[0]} has no column of pictures, bytes or a struct of bytes and path (it has {shown})")
    whole = {name for name, kind in kinds.items() if re.fullmatch(r"u?int(8|16|32|64)|(large_)?string", kind)}
    classes = [name for name in kinds if name in whole and "names" in features.get(name, {})]
    label = next((name for name in (*LABELS, *classes) if name in whole), "")
    names = features.get(label, {}).get("names")
    usable = isinstance(names, list) and 0 < len(names) <= MOST_CLASSES and all(isinstance(name, str) for name in names)
    class_names = tuple(map(one_line, names)) if usable else ()
    return Columns(likely[0], is_struct(kinds[likely[0]]), label, class_names, tuple(name for name in classes if name != label))


def is_struct(kind: str) -> bool:
    """Whether a column is the Hub's: a struct that holds the file's bytes."""
    return re.search(r"^struct<.*\bbytes: (large_)?binary", kind) is not None


def hub_features(metadata: dict[bytes, bytes]) -> dict[str, dict]:
    """What the Hub's library wrote of each column; {} where it did not."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return {}


def labels_and_names(files: tuple[str, ...], columns: Columns) -> tuple[np.ndarray | None, tuple[str, ...], str]:
    """The labels, int64 (N,), and the classes' names; or None, (), and why there are none."""
    if not columns.label:
        return None, (), f"their files have no column {' or '.join(LABELS)}, nor one of classes"
    values, name = column_of(files, columns.label), one_line(columns.label)
    if values.null_count:
        return None, (), f"{values.null_count:,} rows of the column {name} hold none"
    if str(values.type).endswith("string"):
        texts = sorted(values.unique().to_pylist())
        if len(texts) > MOST_CLASSES:
            return None, (), f"the column {name} holds {len(texts):,} different texts"
        numbers = {text: number for number, text in enumerate(texts)}
        return np.array([numbers[text] for text in values.to_pylist()], np.int64), tuple(map(one_line, texts)), ""
    labels = values.to_numpy().astype(np.int64)
    most = len(columns.class_names) or MOST_CLASSES
    if labels.min() < 0 or labels.max() >= most:
        return None, (), f"the column {name} holds {labels.min()} to {labels.max()}, where 0 to {most - 1} are classes"
    return labels, columns.class_names or numbered(labels), ""


def column_of(files: Sequence[str], column: str):
    """A column of all files, pyarrow's ChunkedArray."""
    import pyarrow

    try:
        parts = []
        for path in files:
            with opened(path) as file:
                parts.append(file.read(columns=[column]).column(0))
        return pyarrow.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise RequestError(f"{files[0]} is damaged ({why(error)}); take another copy of it") from None
