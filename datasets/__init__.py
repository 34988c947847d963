"""Pictures on disk -> one uint8 array (N, C, H, W) and labels -> batches that follow from (seed, step) alone.

FACTS             what is known of each source: splits, sizes, classes, licence
ImageDataset      the data block: its pictures and labels, decoded once and then memory-mapped from a cache
Batches           batch k of a training run, uint8 on the device, with its labels
to_float          uint8 -> [-1, 1], and to_uint8 back: the only two places that know of either range
"""

import importlib

# Looked up when they are asked for: the processes that decode pictures, and `python -m datasets --help`, load no torch.
_HOMES = {
    "FACTS": "facts",
    "SourceFacts": "facts",
    "Batch": "batches",
    "Batches": "batches",
    "ImageDataset": "load",
    "LabelledImages": "load",
    "to_float": "pixels",
    "to_uint8": "pixels",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"datasets.{_HOMES[name]}"), name)
