"""Pictures on disk -> one uint8 array (N, C, H, W) -> batches that follow from (seed, step) alone.

ImageDataset      the data block: its pictures, decoded once and then memory-mapped from a cache
Batches           batch k of a training run, uint8 on the device
to_float          uint8 -> [-1, 1], and to_uint8 back: the only two places that know of either range
"""

from datasets.batches import Batches
from datasets.load import ImageDataset, LabelledImages, check_source, load_images
from datasets.pixels import to_float, to_uint8
from datasets.sources import SOURCES, load_labels

__all__ = [
    "SOURCES",
    "Batches",
    "ImageDataset",
    "LabelledImages",
    "check_source",
    "load_images",
    "load_labels",
    "to_float",
    "to_uint8",
]
