"""From the data block of the YAML to one array of pictures."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from datasets.cache import cached_pictures
from datasets.downloads import check_files, require_files
from datasets.sources import find_pictures
from utils.errors import RequestError


class LabelledImages(NamedTuple):
    """A split of a data set, decoded.

    images: uint8 (N, C, H, W), a read-only memory map. labels: int64 (N,), 0 ... num_classes - 1, or None where the source has
    none. class_names: one name a class.
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class ImageDataset:
    """A set of pictures on disk, as the data block of the YAML describes it: all of that block, and nothing else.

    source: one of SOURCES. data_path: the folder of pictures ("folder"), the root of the downloads (torchvision's sets; None:
    data/), or None (the embedded sets). image_size, image_channel: what every picture becomes, 1 grey or 3 RGB.
    horizontal_flip: whether a training mirrors half of them. download: fetch what is missing. skip_unreadable: list broken
    pictures instead of refusing them. cache_dir: where the decoded pictures are kept.
    """

    source: str
    data_path: str | None = None
    image_size: int = 32
    image_channel: int = 3
    horizontal_flip: bool = False
    download: bool = True
    skip_unreadable: bool = False
    cache_dir: str = "data/cache"

    def load(self, split: str = "train", progress: bool = True) -> LabelledImages:
        """The pictures of a split; see `load_images`, also for what is refused."""
        options = asdict(self)
        del options["horizontal_flip"]
        return LabelledImages(load_images(**options, split=split, progress=progress), None, ())

    def count(self) -> int:
        """The number of training pictures that `load` would find, without reading them; see `check_source`."""
        return check_source(self.source, self.data_path, download=self.download)

    def has_split(self, split: str) -> bool:
        """Whether this set, which is there, has such a split."""
        try:
            find_pictures(self.source, self.data_path, split)
        except RequestError:
            return False
        return True


def load_images(
    *,
    source: str,
    data_path: str | None,
    image_size: int,
    image_channel: int,
    download: bool,
    skip_unreadable: bool,
    cache_dir: str,
    split: str = "train",
    progress: bool = True,
) -> np.ndarray:
    """Every picture of a set: uint8 (N, C, image_size, image_size), a read-only memory map of the cache file.

    `source` is one of SOURCES; `data_path` is the folder of pictures ("folder"), the root of the downloads
    (torchvision's sets; None: data/), or None (the embedded sets). `image_channel` is 1 (grey) or 3 (RGB). Sets are
    decoded into `cache_dir` when their files, the size or the channels have changed, and only then. `progress` shows a
    bar, on a terminal. Safe to call from several processes at once: one decodes, the others wait.

    Raises RequestError: no such source, split or folder, no pictures, files that are missing or cannot be downloaded, a
    picture that cannot be read (unless `skip_unreadable`, which lists them on stderr), a cache that cannot be written.
    """
    assert image_channel in (1, 3), image_channel
    assert image_size >= 1, image_size
    pictures = find_pictures(source, data_path, split)
    if pictures.archives:
        require_files(pictures, download)
    return cached_pictures(pictures, image_size, image_channel, skip_unreadable, cache_dir, progress)


# Training pictures of the sets that may not be here yet.
DOWNLOADED = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000, "flower102": 8_189}


def check_source(source: str, data_path: str | None, *, download: bool) -> int:
    """The number of training pictures that `load_images` would find. Decodes, downloads and writes nothing.

    Raises its RequestError where it would not find its files. Pictures that turn out to be unreadable are counted.
    """
    pictures = find_pictures(source, data_path, "train")
    if pictures.archives:
        if not download:
            check_files(pictures)
        return DOWNLOADED[source]
    return len(pictures.files) if pictures.read is None else len(pictures.read())
