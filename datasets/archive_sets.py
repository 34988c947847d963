"""An archive of pictures as a data set: its list, which is kept beside the decoded pictures, and its classes."""

import json
import os
import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from datasets.archives import DAMAGED, list_archive, why
from datasets.cache import digest
from datasets.decode import EXTENSIONS, UnreadablePictureError
from datasets.edm_labels import LABEL_FILE, LARGEST, numbered, read_labels
from datasets.folders import NO_CLASSES, cache_name_of, found_words
from datasets.members import ArchivePictures, Index, Names
from datasets.picture_set import Items, PictureSet
from utils.errors import RequestError, one_line
from utils.files import atomic_write

INDEX_VERSION = 1  # raise it when the same archive would give another list


class Facts(NamedTuple):
    """What is known of an archive without its list. folders: those that are classes by `class_from_folder`, sorted; loose: a
    picture that lies in none of them; depth: how many folders, each the only one, hold them; label_num: how many classes
    dataset.json names, 0 where it names none."""

    picture_num: int
    left_out: dict[str, int]
    folders: list[str]
    loose: str | None
    depth: int
    label_num: int


class Listed(NamedTuple):
    """An archive's list, and the labels of dataset.json: int64 (N,) or None."""

    facts: Facts
    index: Index
    labels: np.ndarray | None


def find_archive(
    path: str, split: str, class_from_folder: bool, require_labels: bool, cache_dir: str
) -> PictureSet:
    """Every picture in the zip or tar at `path`, sorted by name.

    With `class_from_folder` each folder is a class as in a folder of pictures; where a single folder holds all of them, as
    when a folder was packed, those in it. Else dataset.json gives the classes, if there is one.
    """
    status = os.stat(path)
    prefix = f"{cache_name_of(path)}_index_{digest([path])[:8]}"
    state = digest([str(INDEX_VERSION), str(status.st_size), str(status.st_mtime_ns)])[:16]
    kept = os.path.join(os.path.realpath(os.path.expanduser(cache_dir)), f"{prefix}_{state}.npz")
    facts = read_facts(kept) or list_once(path, status.st_size, status.st_mtime_ns).facts
    if facts.picture_num == 0:
        raise RequestError(f"data.data_path: {path} {found_words(facts.left_out)}; pictures end in {', '.join(EXTENSIONS)}")
    class_names: tuple[str, ...] = ()
    if class_from_folder:
        if facts.loose is not None:
            raise RequestError(
                f"data.class_from_folder: {path} holds pictures outside of folders (such as {one_line(facts.loose)}), which "
                "are of no class; pack them into one"
            )
        class_names = tuple(map(one_line, facts.folders))
    elif facts.label_num:
        class_names = tuple(map(str, range(facts.label_num)))
    elif require_labels:
        raise RequestError(f"the pictures of {path} have no classes: {NO_CLASSES}")

    def listed() -> Listed:
        return read_kept(kept) or list_once(path, status.st_size, status.st_mtime_ns)

    def keep() -> None:
        if os.path.exists(kept):
            return
        write_kept(kept, listed())
        list_once.cache_clear()  # the list of a million takes some 80 MB
        for name in os.listdir(os.path.dirname(kept)):
            if name.startswith(f"{prefix}_") and name != os.path.basename(kept):
                os.unlink(os.path.join(os.path.dirname(kept), name))  # of what the archive was before

    read = partial(read_archive, path, listed, class_from_folder)
    return PictureSet(
        "folder",
        cache_name_of(path),
        path,
        split,
        ["."],
        facts.picture_num,
        read,
        class_names,
        bool(class_names),
        labels_by="folder" if class_from_folder else "",
        left_out=facts.left_out,
        keep=keep,
    )


def read_archive(path: str, listed: Callable[[], Listed], class_from_folder: bool) -> Items:
    """The pictures, and their classes by folder or by dataset.json."""
    facts, index, labels = listed()
    if class_from_folder:
        numbers = {name: number for number, name in enumerate(facts.folders)}
        names = (index.names[number] for number in range(len(index.names)))
        labels = np.array([numbers[name.split("/")[facts.depth]] for name in names], np.int64)
    return Items(ArchivePictures(path, index), labels)


@lru_cache(maxsize=1)
def list_once(path: str, size: int, changed: int) -> Listed:
    """The list of the archive at `path`, of that size and time: a training asks for it several times."""
    contents = list_archive(path)
    names = [member.name for member in contents.pictures]
    index = Index.of(contents.pictures)
    labels = None
    if contents.label_file is not None and names:
        place = f"{path}: {LABEL_FILE}"
        if contents.label_file.size > LARGEST:
            raise RequestError(f"{place} is larger than {LARGEST:,} bytes: it is something else; leave it out")
        try:
            content = ArchivePictures(path, Index.of([contents.label_file])).content(0)
        except (UnreadablePictureError, *DAMAGED, OSError) as error:
            raise RequestError(f"{place} cannot be read ({why(error)}); take another copy of the archive") from None
        labels = read_labels(content, names, place)
    depth = depth_of(names)
    below = [name.split("/", depth)[-1] for name in names]
    loose = next((name for name in below if "/" not in name), None)
    folders = [] if loose is not None else sorted({name.split("/")[0] for name in below})
    label_num = 0 if labels is None else len(numbered(labels))
    return Listed(Facts(len(names), dict(contents.left_out.most_common()), folders, loose, depth, label_num), index, labels)


def depth_of(names: Sequence[str]) -> int:
    """1 where all lie in one folder, and in folders below that: a folder was packed whole; else 0."""
    split = [name.split("/", 2) for name in names]
    return int(len({parts[0] for parts in split}) == 1 and all(len(parts) == 3 for parts in split))


def write_kept(kept: str, listed: Listed) -> None:
    """The list, as `read_kept` finds it again."""
    facts = np.frombuffer(json.dumps(listed.facts).encode("ascii"), np.uint8)
    arrays = {"facts": facts, "letters": listed.index.names.letters, "ends": listed.index.names.ends}
    if listed.labels is not None:
        arrays["labels"] = listed.labels
    with atomic_write(kept) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, **listed.index.fields)


def read_facts(kept: str) -> Facts | None:
    """What is known of the archive whose list is kept there; None where there is none."""
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            return Facts(*json.loads(arrays["facts"].tobytes()))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def read_kept(kept: str) -> Listed | None:
    """The list that is kept there; None where there is none."""
    facts = read_facts(kept)
    if facts is None:
        return None
    with np.load(kept, allow_pickle=False) as arrays:
        fields = {name: arrays[name] for name in arrays.files if name not in ("facts", "letters", "ends", "labels")}
        labels = arrays.get("labels")
        return Listed(facts, Index(Names(arrays["letters"], arrays["ends"]), fields), labels)
