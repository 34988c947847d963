"""The networks that are measured, at the same work for everyone, and the rows of the tables."""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.contestants import Contestant, How, diffusers, ours, picture_folder
from benchmarks.lucidrains import lucidrains, matched_width
from benchmarks.side_by_side import flops, matmul_rate, ratio
from utils.config import load_settings
from utils.precision import pick_precision
from utils.settings import Settings


class Workload(NamedTuple):
    """An entry of config.yaml, what is overridden, the peer's levels, and batches that fit a CPU's patience and a GPU."""

    data_name: str
    overrides: list[str]
    peer_mults: tuple[int, ...]
    cpu_batch: int
    cuda_batch: int

    def settings(self, device: str, batch_size: int | None) -> Settings:
        """What this project is given, for batches of that size (None: that for the device)."""
        batch = batch_size or (self.cuda_batch if device == "cuda" else self.cpu_batch)
        return load_settings("config.yaml", self.data_name, [f"train.batch_size={batch}", *self.overrides])


# The peers' networks have no classes, and draw by DDIM.
PLAIN = ["model.num_classes=0", "sample.sample_info=DDIM_50_0p0"]
# Random pictures stand for the sets that would have to be downloaded: the work is the same.
WORKLOADS = {
    "ddpm": Workload("Cifar10", ["model.dropout=0"], (1, 2, 4, 8), 4, 256),
    "digits": Workload("Mnist_Mini", PLAIN, (1, 2, 4), 16, 1024),
    "flowers": Workload("Flower102", [], (1, 2, 4, 8), 1, 64),
    "tiny": Workload(
        "Mnist_Mini",
        [*PLAIN, "model.base_channels=8", "model.channel_mult=[1]", "model.norm_groups=4", "data.image_size=16"],
        (1, 2),
        2,
        2,
    ),
}
SET_SIZE = 512  # random pictures to draw batches from


def add_options(options: argparse.ArgumentParser, rounds: int) -> None:
    """The options of both throughput programs."""
    options.add_argument("--sizes", nargs="+", choices=WORKLOADS, default=["ddpm", "digits", "flowers"])
    options.add_argument("--batch_size", type=int, help="pictures at a time, for all (by size and device)")
    options.add_argument("--rounds", type=int, default=rounds, help="measured turns of each contestant")
    options.add_argument("--warm_up", type=int, default=2, help="turns before those")
    options.add_argument(
        "--compile", choices=["auto", "yes", "no"], default="auto", help="the best settings; auto: on a GPU"
    )


def contestants(size: str, args: argparse.Namespace) -> tuple[dict[str, Contestant], Settings, int]:
    """Everyone at its default and at its best, by name; our settings; the batch."""
    load = WORKLOADS[size]
    settings = load.settings(args.device, args.batch_size)
    batch = settings.train.batch_size
    data, device = settings.data, torch.device(args.device)
    shape = (max(SET_SIZE, 2 * batch), data.image_channel, data.image_size, data.image_size)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    folder = picture_folder(images, Path(tempfile.mkdtemp()))
    precision = pick_precision("auto", device)
    compiled = args.compile == "yes" or (args.compile == "auto" and args.device == "cuda")
    default = How(args.device, batch)
    best = How(args.device, batch, True, precision, compiled)
    own = How(args.device, batch, False, precision, args.device == "cuda" and compiled)
    if args.compile == "no":
        settings = settings.model_copy(update={"run": settings.run.model_copy(update={"compile": False})})
    network = ours(settings, images, own)
    picture = torch.zeros(1, *shape[1:], device=device), torch.zeros(1, dtype=torch.long, device=device)
    with torch.no_grad():
        width = matched_width(flops(lambda: network.forward(*picture)), shape[2], shape[1], load.peer_mults)
    everyone = {
        "ours": network,
        "diffusers, default": diffusers(settings, images, default),
        "diffusers, best": diffusers(settings, images, best),
        "denoising-diffusion-pytorch, default": lucidrains(images, default, folder, width, load.peer_mults, 0.0),
        "denoising-diffusion-pytorch, best": lucidrains(images, best, folder, width, load.peer_mults, 0.0),
    }
    if own[3:] != best[3:]:  # else ours is the same at its default and at its best
        everyone["ours, best"] = ours(settings, images, best)
    return everyone, settings, batch


def flop_of_each(
    everyone: dict[str, Contestant], settings: Settings, count: Callable[[Contestant, tuple[int, ...]], int]
) -> dict[str, int]:
    """`count` of each contestant and the shape (1, C, H, W) that its network is given: diffusers' is given folded pictures."""
    fold, data = settings.model.patch_size, settings.data
    folded = (1, data.image_channel * fold**2, data.image_size // fold, data.image_size // fold)
    plain = (1, data.image_channel, data.image_size, data.image_size)
    return {name: count(each, folded if name.startswith("diffusers") else plain) for name, each in everyone.items()}


def rows(
    size: str,
    args: argparse.Namespace,
    seconds: dict[str, list[float]],
    everyone: dict[str, Contestant],
    pictures: dict[str, int],
    flop_of: dict[str, int],
) -> list[dict[str, object]]:
    """A row a contestant. `pictures`: of a call, and `flop_of`: FLOP of a picture, for each."""
    parameters = {name: sum(p.numel() for p in each.network.parameters()) for name, each in everyone.items()}
    precision = pick_precision("auto", torch.device(args.device))
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    ceilings = {
        name: matmul_rate(args.device, dtype, args.clock)
        for name, dtype in dtypes.items()
        if name in ("fp32", precision)
    }
    ours_best = "ours, best" if "ours, best" in seconds else "ours"
    table = []
    for name, times in seconds.items():
        median = statistics.median(times)
        used = "fp32" if name.endswith("default") else precision
        mine = ours_best if name.endswith("best") else "ours"
        table.append(
            {
                "size": size,
                "contestant": name,
                "parameters": parameters[name],
                "pictures_a_call": pictures[name],
                "precision": used,
                "pictures_per_second": pictures[name] / median,
                "ms": 1000 * median,
                "gflop_per_picture": flop_of[name] / 1e9,
                "share_of_matmul_rate": flop_of[name] * pictures[name] / median / ceilings[used],
                "ours_times_as_fast": None
                if name.startswith("ours")
                else ratio(seconds, mine, name) * pictures[mine] / pictures[name],
            }
        )
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in table[-1].items()})
    return table
