"""What every mode is given: a loaded model, and beside it the settings that its checkpoint carries."""

from pathlib import Path
from typing import NamedTuple

import torch

from interop import open_checkpoint
from sampling import Trained, load_trained
from utils.settings import Settings


class Model(NamedTuple):
    """A network ready to draw, and the settings of its training: its data, and what `report` shows."""

    trained: Trained
    settings: Settings


def load_model(
    path: str | Path,
    weights: str = "ema",
    *,
    device: torch.device,
    precision: str = "auto",
    clip_denoised: bool | str | None = None,
    image_size: int | None = None,
    image_channel: int | None = None,
    timestep_num: int | None = None,
) -> Model:
    """The model in the file `path`; see `interop.open_checkpoint` and `sampling.load_trained`, also for what is refused."""
    stated = {"image_size": image_size, "image_channel": image_channel, "timestep_num": timestep_num}
    checkpoint = open_checkpoint(path, weights, **stated)
    return Model(load_trained(checkpoint, path, device, precision, clip_denoised), checkpoint.settings)
