"""A training that goes on from a checkpoint, whoever wrote it: its settings, and the weights that it begins with."""

import functools
from collections.abc import Sequence
from typing import get_args

from torch import nn

from interop.checkpoints import open_checkpoint
from utils.config import load_settings
from utils.device import pick_device
from utils.settings import RunSettings, Settings
from utils.untrusted import check_shapes, load_weights, shapes_of


def load_training(config: str, data_name: str, overrides: Sequence[str], flags: dict[str, object]) -> Settings:
    """The settings of a training on the device that they name; with run.start_from on the network of that checkpoint.

    See `load_settings`. RequestError if they cannot be used, if the checkpoint cannot be read, or if it is another network's.
    """
    read = functools.cache(open_checkpoint)
    settings = load_settings(config, data_name, overrides, flags, is_cpu=is_cpu, settings_of=lambda path: read(path).settings)
    if (start_from := settings.run.start_from) is not None:
        check_shapes(settings, shapes_of(read(start_from).state_dict), start_from)
    return settings


def is_cpu(device: object) -> bool:
    """Whether the setting run.device, which is not checked yet, names a CPU here."""
    return device in get_args(RunSettings.model_fields["device"].annotation) and pick_device(device).type == "cpu"


def load_first_weights(model: nn.Module, start_from: str | None) -> None:
    """Loads the weights of the checkpoint `start_from`, and says so; None: `model` stays as it is."""
    if start_from is not None:
        checkpoint = open_checkpoint(start_from)
        load_weights(model, checkpoint.state_dict, start_from)
        print(f"Starting from {start_from}, step {checkpoint.step:,}.")
