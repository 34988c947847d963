"""What every mode is given: a loaded model, and beside it the settings that its checkpoint carries."""

from pathlib import Path
from typing import NamedTuple

import torch

from interop import open_checkpoint
from interop.locate import find_model
from sampling import Trained, load_trained
from sampling.memory import default_batch, pictures_at_a_time
from utils.settings import Settings
from utils.shapes import Size


class Model(NamedTuple):
    """A network ready to draw, and the settings of its training: its data, and what `report` shows."""

    trained: Trained
    settings: Settings

    def batch_size(self, asked_for: int | None, count: int, processes: int = 1) -> int:
        """How many of `count` pictures to draw at a time; says so where it is less than was asked for.

        By default so many that each of the `processes` has some; see `default_batch`.
        """
        wanted = min(asked_for or default_batch(self.trained, processes, count), count)
        fitting = pictures_at_a_time(self.trained, wanted)
        if fitting < wanted:
            print(f"Note:    {fitting:,} pictures at a time, as the free memory has no room for {wanted:,}")
        return fitting


def load_model(
    path: str | Path,
    weights: str = "ema",
    *,
    device: torch.device,
    precision: str = "auto",
    clip_denoised: bool | str | None = None,
    class_label: str | None = None,
    image_size: Size | None = None,
    image_channel: int | None = None,
    timestep_num: int | None = None,
) -> Model:
    """The model that `path` names, a file, a folder or hf:USER/REPO; see `find_model`, `open_checkpoint` and
    `load_trained`, also for what is refused."""
    stated = {"image_size": image_size, "image_channel": image_channel, "timestep_num": timestep_num}
    path = find_model(path)
    checkpoint = open_checkpoint(path, weights, **stated)
    return Model(load_trained(checkpoint, path, device, precision, clip_denoised, class_label), checkpoint.settings)
