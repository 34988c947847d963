"""A trained model, ready to draw from: what the modes of test_solver.py and the benchmarks work with."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from datasets import ImageDataset
from diffusion import GaussianDiffusion, SampleInfo, build_diffusion
from models import build_model
from utils.checkpoints import MILESTONES, PREVIOUS_FILE, STATE_FILE, WEIGHTS_FILE, digest, load_checkpoint
from utils.config import load_settings
from utils.device import at_precision, pick_channels_last, pick_precision
from utils.errors import RequestError
from utils.settings import DataSettings, Settings
from utils.untrusted import load_weights

RUN_FILES = (WEIGHTS_FILE, STATE_FILE, PREVIOUS_FILE)  # every run has files of these names


class Trained(NamedTuple):
    """A network in a state to be called, and all that its checkpoint says of it.

    model: the bare network; network: the same as (B, C, H, W), (B,) -> (B, C_out, H, W), float32 both ways whatever
    `precision` it computes in.
    weights: "ema" or "raw"; step: how many it was trained; digest: of the weights and their settings.
    """

    path: Path
    settings: Settings
    model: nn.Module
    network: Callable[[Tensor, Tensor], Tensor]
    diffusion: GaussianDiffusion
    weights: str
    step: int
    digest: str
    device: torch.device
    precision: str

    @property
    def name(self) -> str:
        """What its pictures are called by: the file, or the folder of a run's model.safetensors (every run has one)."""
        if self.path.parent.name == MILESTONES:
            return f"{self.path.parent.parent.name}_{self.path.stem}"
        return self.path.parent.name if self.path.name in RUN_FILES else self.path.stem

    def output_prefix(self, save_dir: str, info: SampleInfo) -> Path:
        """save_dir/NAME_DDIM_50_0p0, absolute: how the names of its pictures begin."""
        return Path(save_dir).absolute() / f"{self.name}_{info}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures it draws."""
        return (self.settings.data.image_channel, self.settings.data.image_size, self.settings.data.image_size)


def load_trained(
    path: str | Path,
    weights: str,
    device: torch.device,
    precision: str,
    clip_denoised: bool | str | None = None,
    **stated: int | None,
) -> Trained:
    """The model in the file `path` on `device`, in evaluation mode; `stated` as in `load_checkpoint`.

    `clip_denoised`, if not None, replaces the checkpoint's own setting: it concerns drawing alone.

    RequestError if the file cannot be used, or is not what `stated` says.
    """
    checkpoint = load_checkpoint(path, weights, **stated)
    settings = checkpoint.settings
    carried = {
        "image_size": settings.data.image_size,
        "image_channel": settings.data.image_channel,
        "timestep_num": settings.diffusion.timestep_num,
    }
    for name, value in stated.items():
        if value not in (None, carried[name]):
            option = "training_timestep_num" if name == "timestep_num" else name
            raise RequestError(f"--{option} {value}: {path} was trained with {carried[name]}; leave the option out")
    model = build_model(**settings.model_arguments())
    load_weights(model, checkpoint.state_dict, path)
    precision = pick_precision(precision, device)
    model = model.to(device).eval()
    if pick_channels_last(settings.run.channels_last, device, precision, training=False):
        model.to(memory_format=torch.channels_last)
    network = at_precision(model, precision, device)
    options = settings.diffusion.model_dump()
    if clip_denoised is not None:
        options["clip_denoised"] = clip_denoised
    diffusion = build_diffusion(**options).to(device)
    path = Path(path).absolute()
    identity = digest([checkpoint.state_dict, settings.model_arguments(), options])
    return Trained(
        path, settings, model, network, diffusion, checkpoint.weights, checkpoint.step, identity, device, precision
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
    if info.method == "DDPM" or info.eta > 0:
        raise RequestError(f"{what} needs a sampler that adds no noise, such as DDIM_{info.steps}_0p0, not {info}")


def real_pictures(args: argparse.Namespace, settings: Settings) -> np.ndarray:
    """The training pictures of the data that the request names, at the network's size: uint8 (N, C, H, W)."""
    return real_data(args, settings).load().images


def real_data(args: argparse.Namespace, settings: Settings) -> ImageDataset:
    """Where the real pictures come from: the checkpoint's own data, or what --data_name and --data_path say.

    Where anything is written is never said by the checkpoint, which may be a stranger's: the decoded pictures go to the
    default cache, and a set is downloaded only to the default place or to --data_path.
    """
    data = settings.data.model_copy(
        update={
            "cache_dir": DataSettings().cache_dir,
            "download": settings.data.download and settings.data.data_path is None,
        }
    )
    if args.data_name is not None and (args.config is not None or args.data_name != settings.data_name):
        data = load_settings(
            args.config or "config.yaml", args.data_name, flags={"data.data_path": args.data_path}
        ).data
    elif args.data_path is not None:
        data = data.model_copy(update={"data_path": args.data_path, "download": settings.data.download})
    # The network knows one size and number of channels, whatever the other data set is trained at.
    shape = {"image_size": settings.data.image_size, "image_channel": settings.data.image_channel}
    return ImageDataset(**data.model_dump() | shape)
