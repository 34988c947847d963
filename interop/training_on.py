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

# What a student's training has of its own, by the beginnings of the keys; all else of these blocks is its teacher's.
OF_A_STUDENT = ("model.dropout", "diffusion.loss_type", "diffusion.weighting", "diffusion.p2_", "diffusion.min_snr_gamma")


def load_training(config: str, data_name: str, overrides: Sequence[str], flags: dict[str, object]) -> Settings:
    """The settings of a training on the device that they name; with run.start_from on the network of that checkpoint.

    See `load_settings`. RequestError if they cannot be used, if the checkpoint cannot be read, or if it is another network's.
    """
    read = functools.cache(open_checkpoint)
    settings = load_settings(config, data_name, overrides, flags, is_cpu=is_cpu, settings_of=lambda path: read(path).settings)
    if (teacher := settings.train.teacher) is not None:
        check_student_of(read(teacher).settings, settings)
    for path in (settings.run.start_from, teacher):
        if path is not None:
            check_shapes(settings, shapes_of(read(path).state_dict), path)
    return settings


def check_student_of(teacher: Settings, settings: Settings) -> None:
    """RequestError unless `settings` are those of a student that a network of small steps, the `teacher`'s, can teach."""
    path, train = settings.train.teacher, settings.train
    if teacher.student is not None:
        raise RequestError(f"train.teacher {path} is a student itself, which takes no small steps: name its own teacher")
    if settings.run.start_from is not None and train.student == "consistency_training":
        raise RequestError("run.start_from: a student of consistency_training begins with its teacher's weights; leave it out")
    network = [line for line in differences(teacher, settings, ("model", "diffusion")) if not line.startswith(OF_A_STUDENT)]
    size = [line for line in differences(teacher, settings, ("data",)) if line.startswith("data.image_")]
    other = network + size
    if other:
        raise RequestError(f"a student is its teacher's network on its teacher's noise; leave out {'; '.join(other)}")


def check_classes(settings: Settings, class_names: Sequence[str]) -> None:
    """RequestError where a teacher's classes are others than the data's, or in another order; of run.start_from it is said.

    class_names: the data's, as many as the network has. What a teacher says of its class 3 would be learned of another one; a
    training on, which the pictures alone teach, may go to other classes. Names are the same in any case, as for --class_label;
    a checkpoint that carries none is let through.
    """
    teacher, start_from = settings.train.teacher, settings.run.start_from
    if teacher is not None and (differs := _other_class(teacher, settings.data_name, class_names)):
        raise RequestError(
            f"train.teacher: {differs}; a student learns its teacher's classes, in their order: name the teacher's data, "
            "or give the classes of these the same names"
        )
    if start_from is not None and (differs := _other_class(start_from, settings.data_name, class_names)):
        print(f"Note:    run.start_from: {differs}; each class begins with what was learned of the other's")


def _other_class(path: str, data_name: str, class_names: Sequence[str]) -> str:
    """The first class that is another one in the checkpoint `path` than in the data, in words; empty where there is none."""
    checkpoint = open_checkpoint(path)
    for number, (its, here) in enumerate(zip(checkpoint.classes.names, class_names)):
        if its.casefold() != here.casefold():
            trained_on = checkpoint.settings.data_name
            return f"class {number} of {path} (trained on {trained_on}) is {its!r}, and of {data_name} {here!r}"
    return ""


def load_teacher(settings: Settings) -> Checkpoint | None:
    """The teacher of a student, to be run as the training is, and says so; None where nothing is distilled."""
    if (path := settings.train.teacher) is None:
        return None
    checkpoint = open_checkpoint(path)
    asked = settings.train.teacher_guidance
    print(f"Teacher: {path}, step {checkpoint.step:,}" + (f", guided as by {asked}" if asked else ""))
    if checkpoint.settings.diffusion.objective == "pred_x0":
        print("Note:    students of pred_x0 were seen to diverge, those of pred_edm not: see docs/students.md")
    return checkpoint._replace(settings=checkpoint.settings.model_copy(update={"run": settings.run}))


def is_cpu(device: object) -> bool:
    """Whether the setting run.device, which is not checked yet, names a CPU here."""
    return device in get_args(RunSettings.model_fields["device"].annotation) and pick_device(device).type == "cpu"


def load_first_weights(model: nn.Module, start_from: str | None) -> None:
    """Loads the weights of the checkpoint `start_from`, and says so; None: `model` stays as it is."""
    if start_from is not None:
        checkpoint = open_checkpoint(start_from)
        load_weights(model, checkpoint.state_dict, start_from)
        print(f"Starting from {start_from}, step {checkpoint.step:,}.")
