"""A training that goes on from a checkpoint, whoever wrote it: its settings, and the weights that it begins with."""

import functools
from collections.abc import Sequence
from typing import get_args

from torch import nn

from interop.checkpoints import open_checkpoint
from utils.checkpoints import Checkpoint
from utils.config import differences, load_settings
from utils.device import pick_device
from utils.errors import RequestError
from utils.settings import RunSettings, Settings
from utils.untrusted import check_shapes, load_weights, shapes_of


def load_training(config: str, data_name: str, overrides: Sequence[str], flags: dict[str, object]) -> Settings:
    """The settings of a training on the device that they name; with run.start_from on the network of that checkpoint.

    See `load_settings`. RequestError if they cannot be used, if the checkpoint cannot be read, or if it is another network's.
    """
    read = functools.cache(open_checkpoint)
    settings = load_settings(config, data_name, overrides, flags, is_cpu=is_cpu, settings_of=lambda path: read(path).settings)
    for path in (settings.run.start_from, settings.train.teacher):
        if path is not None:
            check_shapes(settings, shapes_of(read(path).state_dict), path)
    if (teacher := settings.train.teacher) is not None:
        check_teacher(read(teacher).settings, settings, teacher)
    return settings


def check_teacher(teacher: Settings, settings: Settings, path: str) -> None:
    """RequestError unless the teacher, of the checkpoint `path`, is no student, and its network is read as the student's is."""
    if teacher.student is not None:
        raise RequestError(f"train.teacher {path} is a student itself, which takes no small steps: name its own teacher")
    free = ("loss_type", "loss_of_clipped", "clipped_above", "weighting", "p2_k", "p2_gamma", "min_snr_gamma")
    other = [line for line in differences(teacher, settings, ("model", "diffusion")) if not line.split(":")[0].endswith(free)]
    if other:
        raise RequestError(f"a student is its teacher's network on its teacher's noise; leave out {'; '.join(other)}")


def load_teacher(settings: Settings) -> Checkpoint | None:
    """The teacher of a student, and says so; None where nothing is distilled."""
    if (path := settings.train.teacher) is None:
        return None
    checkpoint = open_checkpoint(path)
    guidance = str(checkpoint.guidance)[1:]
    print(f"Teacher: {path}, step {checkpoint.step:,}" + (f", guided as by {guidance}" if guidance else ""))
    return checkpoint


def is_cpu(device: object) -> bool:
    """Whether the setting run.device, which is not checked yet, names a CPU here."""
    return device in get_args(RunSettings.model_fields["device"].annotation) and pick_device(device).type == "cpu"


def load_first_weights(model: nn.Module, start_from: str | None) -> None:
    """Loads the weights of the checkpoint `start_from`, and says so; None: `model` stays as it is."""
    if start_from is not None:
        checkpoint = open_checkpoint(start_from)
        load_weights(model, checkpoint.state_dict, start_from)
        print(f"Starting from {start_from}, step {checkpoint.step:,}.")
