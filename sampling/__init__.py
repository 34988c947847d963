"""From a checkpoint and a sampler string to pictures: what modes/, the page and a training's previews share."""

from sampling.trained import Trained, load_trained, named_if_changed, parse_sampler

__all__ = ["Trained", "load_trained", "named_if_changed", "parse_sampler"]
