"""A trained model, ready to draw from: what the modes of test_solver.py and the benchmarks work with."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffusion import GaussianDiffusion, SampleInfo, build_diffusion
from models import build_model
from utils.checkpoints import MILESTONES, PREVIOUS_FILE, STATE_FILE, WEIGHTS_FILE, Checkpoint, digest
from utils.device import pick_channels_last
from utils.errors import RequestError
from utils.precision import at_precision, cast_weights, pick_precision
from utils.untrusted import load_weights

RUN_FILES = (WEIGHTS_FILE, STATE_FILE, PREVIOUS_FILE)  # every run has files of these names


class Trained(NamedTuple):
    """A network in a state to be called, and what its checkpoint says of drawing from it.

    data_name: what it was trained on; shape: (C, H, W) of its pictures; num_classes: 0 where it knows none; class_names: one
    a class, or empty.
    model: the bare network, its convolutions already in `precision`; network: the same as (B, C, H, W), (B,) ->
    (B, C_out, H, W), float32 both ways whatever `precision` it computes in.
    weights: "ema" or "raw"; step: how many it was trained; digest: of the weights and their settings.
    batch_size: how many pictures are drawn at a time, unless another number is asked for.
    variant: how it draws otherwise than the checkpoint's EMA weights would by themselves, in words for the names of files.
    """

    path: Path
    data_name: str
    shape: tuple[int, int, int]
    num_classes: int
    class_names: tuple[str, ...]
    model: nn.Module
    network: Callable[[Tensor, Tensor], Tensor]
    diffusion: GaussianDiffusion
    weights: str
    step: int
    digest: str
    device: torch.device
    precision: str
    batch_size: int
    variant: tuple[str, ...]

    @property
    def name(self) -> str:
        """What its pictures are called by: the file, or the folder of a run's model.safetensors (every run has one)."""
        if self.path.parent.name == MILESTONES:
            return f"{self.path.parent.parent.name}_{self.path.stem}"
        return self.path.parent.name if self.path.name in RUN_FILES else self.path.stem

    def output_prefix(self, save_dir: str | Path, info: SampleInfo, *words: str) -> Path:
        """save_dir/NAME_DDIM_50_0p0, absolute: how the names of its pictures begin.

        What makes them other pictures than the default ones stands behind it: `variant` and `words`, see `named_if_changed`.
        """
        return Path(save_dir).absolute() / "_".join([self.name, str(info), *self.variant, *words])


def named_if_changed(name: str, value: int | str, default: int | str) -> tuple[str, ...]:
    """The word for `Trained.output_prefix`: none for the default, else as in ("seed100",)."""
    return () if value == default else (f"{name}{value}",)


def load_trained(
    checkpoint: Checkpoint,
    path: str | Path,
    device: torch.device,
    precision: str = "auto",
    clip_denoised: bool | str | None = None,
) -> Trained:
    """The network of a `checkpoint`, which was read from `path`, on `device`, in evaluation mode.

    `clip_denoised`, if not None, replaces the checkpoint's own setting: it concerns drawing alone. RequestError if the
    weights do not fit the network, or are not finite.
    """
    settings = checkpoint.settings
    arguments = settings.model_arguments()
    model = build_model(**arguments)
    load_weights(model, checkpoint.state_dict, path)
    asked_for, precision = precision, pick_precision(precision, device)
    model = model.to(device).eval()
    if pick_channels_last(settings.run.channels_last, device, precision, training=False):
        model.to(memory_format=torch.channels_last)
    cast_weights(model, precision)
    options = settings.diffusion.model_dump()
    if clip_denoised is not None:
        options["clip_denoised"] = clip_denoised
    variant = [
        *(["raw"] if checkpoint.weights == "raw" else []),
        *([] if clip_denoised in (None, settings.diffusion.clip_denoised) else [f"clip_{clip_denoised}".lower()]),
        *([] if asked_for == "auto" else [precision]),
    ]
    return Trained(
        path=Path(path).absolute(),
        data_name=settings.data_name,
        shape=(settings.data.image_channel, settings.data.image_size, settings.data.image_size),
        num_classes=arguments.get("num_classes", 0),
        class_names=(),
        model=model,
        network=at_precision(model, precision, device),
        diffusion=build_diffusion(**options).to(device),
        weights=checkpoint.weights,
        step=checkpoint.step,
        digest=digest([checkpoint.state_dict, arguments, options]),
        device=device,
        precision=precision,
        batch_size=settings.sample.batch_size,
        variant=tuple(variant),
    )


def parse_sampler(text: str, timestep_num: int, num_classes: int = 0) -> SampleInfo:
    """The sampler that `text` names. RequestError if it cannot be read, has more steps than the training, or guides a network
    without classes."""
    try:
        info = SampleInfo.parse(text)
        info.check_fits(timestep_num, num_classes)
    except ValueError as error:
        raise RequestError(f"--sample_info: {error}") from None
    return info


def check_deterministic(info: SampleInfo, what: str) -> None:
    """RequestError if the sampler adds noise: a latent would not lead back to its picture."""
    if info.adds_noise:
        raise RequestError(f"{what} needs a sampler that adds no noise, such as DDIM_{info.steps}_0p0, not {info}")
