"""What every mode is given: a loaded model, and beside it the settings that its checkpoint carries."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from diffusion import SampleInfo
from interop import open_checkpoint
from interop.locate import find_model
from interop.older_checkpoints import DATA_NAME
from sampling import Trained, load_trained
from sampling.memory import default_batch, pictures_at_a_time
from utils.compiling import capture_in_place
from utils.device import pick_device
from utils.hub_cache import hub_file
from utils.settings import Settings
from utils.shapes import Size, size_text


class Model(NamedTuple):
    """A network ready to draw, and the settings of its training: its data, and what `report` shows."""

    trained: Trained
    settings: Settings

    def texts(self, mode: str, sampler: SampleInfo, options: Mapping[str, object]) -> dict[str, str]:
        """What a PNG carries: `drawn_by`, the network and the sampler; `command`, which draws it again (None: not given)."""
        trained = self.trained
        by = f"{sampler}, {trained.weights} weights {trained.digest}, {trained.device.type} in {trained.precision}"
        given = {
            "model_path": _from_here(trained.path),
            "weights": None if trained.weights == "ema" else trained.weights,
            **(self._stated() if self.settings.data_name == DATA_NAME else {}),
            "test_mode": mode,
            "sample_info": sampler,
            "clip_denoised": self._other_clipping(),
            "class_label": trained.class_label,
            "precision": trained.precision if trained.precision in trained.variant else None,
            "device": None if trained.device.type == pick_device("auto").type else trained.device.type,
            **options,
        }
        words = []
        for name, value in given.items():
            if value is not None:
                words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        return {"drawn_by": by, "command": shlex.join(["python", "test_solver.py", *words])}

    def _stated(self) -> dict[str, int | str]:
        """What has to be said of a checkpoint that carries no settings."""
        return {
            "image_size": size_text(self.settings.data.image_size),
            "image_channel": self.settings.data.image_channel,
            "training_timestep_num": self.trained.diffusion.timestep_num,
        }

    def _other_clipping(self) -> str | None:
        clip = self.trained.diffusion.clip_denoised
        return None if clip == self.settings.diffusion.clip_denoised else str(clip).lower()

    def batch_size(self, asked_for: int | None, count: int, processes: int = 1) -> int:
        """How many of `count` pictures to draw at a time; says so where it is less than was asked for.

        By default so many that each of the `processes` has some; see `default_batch`.
        """
        wanted = min(asked_for or default_batch(self.trained, processes, count), count)
        fitting = pictures_at_a_time(self.trained, wanted)
        if fitting < wanted:
            print(f"Note:    {fitting:,} pictures at a time, as the free memory has no room for {wanted:,}")
        return fitting


def _from_here(path: Path) -> str:
    """The path from the current folder, if it lies in it, or on the Hub: of the machine's own folders nothing is told."""
    if (on_hub := hub_file(path)) is not None:
        return str(on_hub)
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


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
    trained = load_trained(checkpoint, path, device, precision, clip_denoised, class_label)
    capture_in_place(trained.model, checkpoint.settings.run.compile, device)
    return Model(trained, checkpoint.settings)
