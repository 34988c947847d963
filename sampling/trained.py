"""A trained model, ready to draw from: what the modes of test_solver.py and the benchmarks work with."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion import GaussianDiffusion, SampleInfo, build_diffusion
from diffusion.distillation import Student, check_student
from models import UNet, build_model
from sampling.labels import labels_for
from sampling.network import Network
from utils.checkpoints import Checkpoint, digest, model_name
from utils.classes import Classes
from utils.compiling import capture_in_place
from utils.device import pick_channels_last
from utils.errors import RequestError
from utils.precision import at_precision, cast_weights, pick_precision
from utils.threads import threads_for
from utils.untrusted import load_weights


class Trained(NamedTuple):
    """A network in a state to be called, and what its checkpoint says of drawing from it.

    data_name: what it was trained on; shape: (C, H, W) of its pictures; num_classes: 0 where it knows none; classes: their
    names, and how many training pictures are of each, or empty. class_label: which of them are asked for, see `labels_for`.
    model: the bare network, its convolutions already in `precision`; network: the same as (B, C, H, W), (B,) ->
    (B, C_out, H, W), float32 both ways whatever `precision` it computes in.
    weights: "ema" or "raw"; step: how many it was trained; digest: of the weights and their settings.
    batch_size: how many pictures are drawn at a time, unless another number is asked for.
    variant: how it draws otherwise than the checkpoint's EMA weights would by themselves, in words for the names of files.
    student: what it was distilled to, where it was: only some samplers draw from it.
    """

    path: Path
    data_name: str
    shape: tuple[int, int, int]
    num_classes: int
    classes: Classes
    class_label: str | None
    model: UNet
    network: Network
    diffusion: GaussianDiffusion
    weights: str
    step: int
    digest: str
    device: torch.device
    precision: str
    batch_size: int
    variant: tuple[str, ...]
    student: Student | None

    def labels_of(self, seeds: Sequence[int]) -> list[int] | None:
        """The class of each seed's picture, as `class_label` says; None for a network without classes."""
        return labels_for(seeds, self.class_label, self.num_classes, *self.classes)

    @property
    def class_names(self) -> Sequence[str]:
        """A name for each of its classes: its number, where the checkpoint names none."""
        return self.classes.names or [str(label) for label in range(self.num_classes)]

    @property
    def name(self) -> str:
        """What its pictures are called by: see `model_name`."""
        return model_name(self.path)

    def output_prefix(self, save_dir: str | Path, info: SampleInfo, *words: str) -> Path:
        """save_dir/NAME_DDIM_50_0p0, absolute: how the names of its pictures begin.

        What makes them other pictures than the default ones stands behind it: `variant` and `words`, see `named_if_changed`.
        """
        return Path(save_dir).absolute() / "_".join([self.name, str(info), *self.variant, *words])


def file_word(text: str) -> str:
    """`text` as a part of a file's name on every system: letters, digits, and - for all else."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text)


def named_if_changed(name: str, value: int | str, default: int | str) -> tuple[str, ...]:
    """The word for `Trained.output_prefix`: none for the default, else as in ("seed100",)."""
    return () if value == default else (f"{name}{value}",)


def load_trained(
    checkpoint: Checkpoint,
    path: str | Path,
    device: torch.device,
    precision: str = "auto",
    clip_denoised: bool | str | None = None,
    class_label: str | None = None,
) -> Trained:
    """The network of a `checkpoint`, which was read from `path`, on `device`, in evaluation mode, a small one as CUDA graphs.

    `clip_denoised`, if not None, replaces the checkpoint's own setting: it concerns drawing alone. `class_label` says which
    classes are drawn, see `labels_for`. RequestError if the weights do not fit the network, or are not finite, or if it
    knows no such class.
    """
    settings = checkpoint.settings
    arguments = settings.model_arguments()
    labels_for([], class_label, settings.model.num_classes, *checkpoint.classes)
    model = build_model(**arguments)
    load_weights(model, checkpoint.state_dict, path)
    asked_for, precision = precision, pick_precision(precision, device)
    model = model.to(device).eval()
    if pick_channels_last(settings.run.channels_last, device, precision, training=False):
        model.to(memory_format=torch.channels_last)
    cast_weights(model, precision, device)
    capture_in_place(model, settings.run.compile, device)
    options = settings.diffusion.model_dump()
    if clip_denoised is not None:
        options["clip_denoised"] = clip_denoised
    variant = [
        *(["raw"] if checkpoint.weights == "raw" else []),
        *([] if clip_denoised in (None, settings.diffusion.clip_denoised) else [f"clip_{clip_denoised}".lower()]),
        *([] if asked_for == "auto" else [precision]),
        *([] if class_label is None else [f"class_{file_word(class_label)}"]),
    ]
    tuned_times = settings.sample.tuned_times
    asked = [*([] if class_label is None else [class_label]), *([tuned_times] if tuned_times else [])]
    return Trained(
        path=Path(path).absolute(),
        data_name=settings.data_name,
        shape=settings.data.shape,
        num_classes=settings.model.num_classes,
        classes=checkpoint.classes,
        class_label=class_label,
        model=model,
        network=_on_few_threads(at_precision(model, precision, device), model, device),
        diffusion=build_diffusion(**options, tuned_times=tuned_times).to(device),
        weights=checkpoint.weights,
        step=checkpoint.step,
        digest=digest([checkpoint.state_dict, arguments, options, *asked]),
        device=device,
        precision=precision,
        batch_size=settings.sample.batch_size,
        variant=tuple(variant),
        student=settings.student,
    )


def _on_few_threads(network: Network, model: UNet, device: torch.device) -> Network:
    """`network`, each of whose calls on a CPU takes the threads that pay for its batch: two drew 16 digits slower than one."""
    if device.type != "cpu":
        return network

    def call(x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        with threads_for(model.base_channels * len(x_t) * x_t[0, 0].numel() // model.patch_size**2):
            return network(x_t, t, y)

    return call


def parse_sampler(
    text: str,
    timestep_num: int,
    num_classes: int = 0,
    tuned: Collection[str] = (),
    students: Collection[Student | None] = (None,),
) -> SampleInfo:
    """The sampler that `text` names. RequestError if it cannot be read, has more steps than the training, guides a network
    without classes, asks for timesteps that were not learned (`tuned` are the samplers for which some were), or draws from
    none of `students`, each a student or None for a network that is none."""
    try:
        info = SampleInfo.parse(text)
        check_student(info, students)
        info.check_fits(timestep_num, num_classes)
        info.check_tuned(tuned)
    except ValueError as error:
        raise RequestError(f"--sample_info: {error}") from None
    return info


def check_reversible(trained: Trained, info: SampleInfo | None, what: str) -> None:
    """RequestError where no way leads back from a picture: of a student, which has no small steps, or, if `info` is given,
    with a sampler that adds noise, so that a latent would not lead back to its picture."""
    if trained.student is not None:
        raise RequestError(f"{what} needs a network that takes small steps, and {trained.name} is a student: take its teacher")
    if info is not None and info.adds_noise:
        raise RequestError(f"{what} needs a sampler that adds no noise, such as DDIM_{info.steps}_0p0, not {info}")
