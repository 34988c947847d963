"""From the data block of the YAML to one array of pictures and their labels."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from datasets.cache import Decoded, load_cached
from datasets.crops import cropped_once
from datasets.downloads import check_files, require_files
from datasets.facts import FACTS
from datasets.picture_set import PictureSet
from datasets.shaping import Shaping
from datasets.sources import find_pictures, has_split
from datasets.survey import Survey, survey_pictures
from utils.shapes import Size, sides


class LabelledImages(NamedTuple):
    """A split of a data set, decoded.

    images: uint8 (N, C, H, W), a read-only memory map. labels: int64 (N,), 0 ... num_classes - 1, or None where they
    cannot be had. class_names: one name a class, () where there are no classes. cropped_to: where `images` are slots, (N, K),
    that are still to be cropped: to what, (C, H, W).
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    cropped_to: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class ImageDataset:
    """A set of pictures on disk, as the data block of the YAML describes it: all of that block, and nothing else.

    source: one of FACTS. data_path: one's own pictures ("folder": a folder, or one of the files of `datasets.sources.KINDS`),
    the root of the downloads (torchvision's sets; None: data/), or None (the embedded sets). image_size, image_channel: what
    every picture becomes, N x N pixels or (height, width), 1 grey or 3 RGB; crop, resize: how, see `Shaping`.
    horizontal_flip: whether a training mirrors half of them. download: fetch what is missing. skip_unreadable: list broken
    pictures instead of refusing them. cache_dir: where the decoded pictures are kept. class_from_folder: each folder
    directly below data_path, or in the archive, is a class ("folder" only).
    """

    source: str
    data_path: str | None = None
    image_size: Size = 32
    image_channel: int = 3
    crop: str = "center"
    resize: Size | None = None
    horizontal_flip: bool = False
    download: bool = True
    skip_unreadable: bool = False
    cache_dir: str = "data/cache"
    class_from_folder: bool = False

    @property
    def shaping(self) -> Shaping:
        """What every picture becomes."""
        resize = self.resize if self.resize is None or isinstance(self.resize, int) else sides(self.resize)
        return Shaping(self.image_channel, *sides(self.image_size), self.crop, resize)

    def load(
        self, split: str = "train", progress: bool = True, *, require_labels: bool = False, cropped: bool = True
    ) -> LabelledImages:
        """Every picture of a split, and its class where it has one.

        Sets are decoded into `cache_dir` when their files, the size or the channels have changed, and only then. With crop
        random each picture has one crop, always the same; `cropped` False gives what `Batches` is to crop anew each time.
        `progress` shows a bar, on a terminal. Safe to call from several processes at once: one decodes, the others wait.

        Raises RequestError: no such source, split or folder, no pictures, files that are missing or cannot be downloaded,
        a picture that cannot be read (unless `skip_unreadable`, which lists them on stderr), a cache that cannot be
        written; with `require_labels`, also labels that cannot be had, and what would help.
        """
        pictures, decoded = self.decode(split, progress, require_labels=require_labels)
        images, cropped_to = decoded.images, self.shaping.shape if self.crop == "random" else None
        if cropped_to is not None and cropped:
            images, cropped_to = cropped_once(images, cropped_to), None
        return LabelledImages(images, decoded.labels, pictures.class_names, cropped_to)

    def decode(
        self, split: str = "train", progress: bool = True, *, require_labels: bool = False
    ) -> tuple[PictureSet, Decoded]:
        """As `load` with `cropped` False, with what is known of the files, and with the pictures that were skipped."""
        assert self.image_channel in (1, 3), self.image_channel
        assert min(sides(self.image_size)) >= 1, self.image_size
        pictures = self._find(split, require_labels)
        if pictures.archives:
            require_files(pictures, self.download)
        return pictures, load_cached(pictures, self.shaping, self.skip_unreadable, self.cache_dir, progress)

    def count(self) -> int:
        """The number of training pictures that `load` would find. Decodes, downloads and writes nothing.

        Raises its RequestError where it would not find its files. Pictures that turn out to be unreadable are counted.
        """
        pictures = self._find("train")
        if pictures.archives and not self.download:
            check_files(pictures)
        return pictures.picture_num

    def survey(self) -> Survey:
        """What is left out of the training pictures and what is too small, from names and heads of files alone.

        Raises the RequestError of `count`, and counts as it does.
        """
        if self.source == "folder":
            return survey_pictures(self._find("train"), self.shaping)
        pictures, side = self.count(), FACTS[self.source].side
        smaller = pictures if side and self.shaping.enlarges(side, side) else 0
        return Survey(pictures, {}, pictures, smaller, self.shaping.box)

    def class_names(self) -> tuple[str, ...]:
        """One name a class, in the order of the labels; () where there are none. Decodes and downloads nothing.

        Raises RequestError for a folder that is not there or whose pictures are not all in subfolders.
        """
        return self._find("train").class_names

    def num_classes(self) -> int:
        """The number of `class_names`."""
        return len(self.class_names())

    def has_split(self, split: str) -> bool:
        """Whether this set has such a split. RequestError where the user's own pictures are not there."""
        return has_split(self.source, self.data_path, split)

    def _find(self, split: str, require_labels: bool = False) -> PictureSet:
        return find_pictures(
            self.source,
            self.data_path,
            split,
            class_from_folder=self.class_from_folder,
            require_labels=require_labels,
            cache_dir=self.cache_dir,
        )
