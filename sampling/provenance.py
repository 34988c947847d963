"""What a picture says of where it comes from."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from diffusion import SampleInfo
from sampling.trained import Trained
from utils.checkpoints import UNKNOWN_DATA
from utils.device import pick_device
from utils.hub_cache import hub_file
from utils.shapes import size_text


def texts_of(trained: Trained, mode: str, sampler: SampleInfo, options: Mapping[str, object]) -> dict[str, str]:
    """What a PNG carries: `drawn_by`, the network and the sampler; `command`, which draws it again (None: not given)."""
    by = f"{sampler}, {trained.weights} weights {trained.digest}, {trained.device.type} in {trained.precision}"
    given = {
        "model_path": _from_here(trained.path),
        "weights": None if trained.weights == "ema" else trained.weights,
        **(_stated(trained) if trained.data_name == UNKNOWN_DATA else {}),
        "test_mode": mode,
        "sample_info": sampler,
        "clip_denoised": _other_clipping(trained),
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


def _stated(trained: Trained) -> dict[str, int | str]:
    """What has to be said of a checkpoint that carries no settings."""
    channels, height, width = trained.shape
    return {
        "image_size": size_text(height if height == width else (height, width)),
        "image_channel": channels,
        "training_timestep_num": trained.diffusion.timestep_num,
    }


def _other_clipping(trained: Trained) -> str | None:
    clip = str(trained.diffusion.clip_denoised).lower()
    return clip if f"clip_{clip}" in trained.variant else None


def _from_here(path: Path) -> str:
    """The path from the current folder, if it lies in it, or on the Hub: of the machine's own folders nothing is told."""
    if (on_hub := hub_file(path)) is not None:
        return str(on_hub)
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
