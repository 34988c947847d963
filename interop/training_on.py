"""A training that goes on from a checkpoint, whoever wrote it: its settings, and the weights that it begins with."""

import functools
from collections.abc import Sequence

from torch import nn

from interop.checkpoints import open_checkpoint
from utils.config import load_settings
from utils.device import pick_device
from utils.settings import Settings
from utils.untrusted import load_weights


def load_training(config: str, data_name: str, overrides: Sequence[str], flags: dict[str, object]) -> Settings:
    """The settings of a training on the device that they name; with run.start_from on the network of that checkpoint.

    See `load_settings`. RequestError if they cannot be used, or if the checkpoint cannot be read.
    """
    settings_of = functools.cache(lambda path: open_checkpoint(path).settings)
    load = functools.partial(load_settings, config, data_name, overrides, flags, settings_of=settings_of)
    settings = load()
    return load(on_cpu=True) if pick_device(settings.run.device).type == "cpu" else settings


def load_first_weights(model: nn.Module, start_from: str | None) -> None:
    """Loads the weights of the checkpoint `start_from`, and says so; None: `model` stays as it is."""
    if start_from is not None:
        checkpoint = open_checkpoint(start_from)
        load_weights(model, checkpoint.state_dict, start_from)
        print(f"Starting from {start_from}, step {checkpoint.step:,}.")
