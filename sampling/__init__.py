"""From a checkpoint and a sampler string to pictures: what modes/, the page and a training's previews share."""

import importlib

# Looked up when they are asked for: `python -m sampling.schedule --help` loads no torch.
__all__ = ["Trained", "load_trained", "named_if_changed", "parse_sampler"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("sampling.trained"), name)
