"""A network as others are to call it: with what its output says of the picture, and with all that drawing needs to know."""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from diffusion import GaussianDiffusion, build_diffusion, network_input
from interop.checkpoints import open_checkpoint
from models import build_model
from utils.checkpoints import Checkpoint
from utils.errors import RequestError
from utils.untrusted import load_weights

TOLERANCE = 1e-4  # by which an export may differ from the network itself, where values are of order 1
INPUTS = ("x_t", "t", "y", "shown")
OUTPUTS = ("output", "x_0")
TRACED_BATCH = 2


class Drawable(nn.Module):
    """(x_t, t[, y][, shown]) -> (output, x_0), whatever the network was trained to emit.

    x_t: (B, C, H, W); t: (B,) int64; y, for a network with classes: (B,) int64, `num_classes` for none; shown, with
    self-conditioning: (B, C, H, W), the last x_0 clipped to [-1, 1], at first zeros. output: (B, C_out, H, W), the
    network's own. x_0: (B, C, H, W), the picture that it means, not clipped.
    """

    def __init__(self, network: nn.Module, diffusion: GaussianDiffusion):
        super().__init__()
        self.network, self.diffusion = network, diffusion

    def forward(self, x_t: Tensor, t: Tensor, y: Tensor | None = None, shown: Tensor | None = None) -> tuple[Tensor, Tensor]:
        seen = x_t if shown is None else torch.cat([x_t, shown], dim=1)
        network = network_input.from_x_t(self.network, self.diffusion)
        output = network(seen, t) if y is None else network(seen, t, y)
        return output, self.diffusion.predict(output, x_t, t, clip=False).x_0


class Export(NamedTuple):
    """What is exported: the module, in evaluation mode on the CPU, and the checkpoint that it is from."""

    module: Drawable
    checkpoint: Checkpoint

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its pictures."""
        data = self.checkpoint.settings.data
        size = data.image_size
        return (data.image_channel, *((size, size) if isinstance(size, int) else size))

    def example(self, batch: int) -> dict[str, Tensor]:
        """Inputs by name, for `batch` pictures; the first and the last of its timesteps are the schedule's own."""
        generator = torch.Generator().manual_seed(batch)
        timestep_num, num_classes = self.module.diffusion.timestep_num, self.checkpoint.settings.model.num_classes
        t = torch.randint(timestep_num, (batch,), generator=generator)
        t[0], t[-1] = 0, timestep_num - 1
        inputs = {"x_t": torch.randn(batch, *self.shape, generator=generator), "t": t}
        if num_classes:
            inputs["y"] = torch.randint(num_classes + 1, (batch,), generator=generator)
        if self.module.diffusion.self_condition:
            inputs["shown"] = torch.rand(batch, *self.shape, generator=generator) * 2 - 1
        return inputs

    def about(self) -> str:
        """What drawing needs beside the network, as JSON: the tables of x_t = signal[t] x_0 + sigma[t] noise, and more."""
        settings, diffusion = self.checkpoint.settings, self.module.diffusion
        alpha_bar = [diffusion.alpha_bar(t) for t in range(diffusion.timestep_num)]
        about = {
            "data_name": settings.data_name,
            "shape": self.shape,
            "num_classes": settings.model.num_classes,
            "class_names": self.checkpoint.classes.names,
            "timestep_num": diffusion.timestep_num,
            "objective": diffusion.objective,
            "variance": diffusion.variance,
            "clip_denoised": diffusion.clip_denoised,
            "self_condition": diffusion.self_condition,
            "sample_info": settings.sample.sample_info,
            "student": settings.student and settings.student._asdict(),
            "settings": settings.model_dump(mode="json"),
            "signal": [value**0.5 for value in alpha_bar],
            "sigma": [(1 - value) ** 0.5 for value in alpha_bar],
        }
        return json.dumps(about)


def load_export(path: Path) -> Export:
    """What the file `path` holds, to be exported in float32. RequestError for what cannot be read; see `open_checkpoint`."""
    checkpoint = open_checkpoint(path)
    network = build_model(**checkpoint.settings.model_arguments())
    load_weights(network, checkpoint.state_dict, path)
    diffusion = build_diffusion(**checkpoint.settings.diffusion.model_dump())
    diffusion.alpha_bar(torch.zeros(1, dtype=torch.long))  # puts its table on the CPU: torch.export finds nothing to assign
    return Export(Drawable(network, diffusion).eval(), checkpoint)


@torch.no_grad()
def check_equal(export: Export, run, path: Path) -> float:
    """The largest difference between the network's output and that of `run`, which takes inputs by name, for batches of other
    sizes than the one that was traced. RequestError if it is above the tolerance.

    x_0 is held to the same, times the share of it that there is in x_t: read from noise, it may be off by so much more.
    """
    largest = 0.0
    for batch in (1, 3):
        inputs = export.example(batch)
        wanted, found = export.module(**inputs), run(inputs)
        share = export.module.diffusion.alpha_bar(inputs["t"]).sqrt().float()
        for ours, theirs, scale in ((wanted[0], found[0], torch.ones(())), (wanted[1], found[1], share)):
            difference = ((ours - theirs).abs() * scale).max() / (ours * scale).abs().max().clamp(min=1)
            largest = max(largest, float(difference.nan_to_num(nan=float("inf"))))
    if largest > TOLERANCE:
        raise RequestError(f"{path} is not written: as exported, the network differs by {largest:.1e}, above {TOLERANCE:.0e}")
    return largest
