"""Pictures on disk -> one uint8 array (N, C, H, W) and labels -> batches that follow from (seed, step) alone.

FACTS             what is known of each source: splits, sizes, classes, licence
ImageDataset      the data block: its pictures and labels, decoded once and then memory-mapped from a cache
Batches           batch k of a training run, uint8 on the device, with its labels
to_float          uint8 -> [-1, 1], and to_uint8 back: the only two places that know of either range
"""

from datasets.batches import Batch, Batches
from datasets.facts import FACTS, SourceFacts
from datasets.load import ImageDataset, LabelledImages
from datasets.pixels import to_float, to_uint8

__all__ = [
    "FACTS",
    "Batch",
    "Batches",
    "ImageDataset",
    "LabelledImages",
    "SourceFacts",
    "to_float",
    "to_uint8",
]
