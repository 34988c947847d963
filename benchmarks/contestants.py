"""This project and `diffusers`, each as something that takes a training step and draws pictures. The other peer: lucidrains.py.

`diffusers`: UNet2DModel, trained as in its examples/unconditional_image_generation (with `--use_ema`, as its README does).
A peer has two settings: "default", as a user gets it, and "best": everything in memory on the device, fused optimizers, the
same precision as ours, compiled or not.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasets import LabelledImages, to_float
from diffusion import SampleInfo, build_diffusion, network_input
from sampling.drawing import draw
from sampling.labels import labels_for
from utils.compiling import as_written, compile_in_place
from utils.device import pick_channels_last
from utils.distributed import Ranks
from utils.pictures import save_png
from utils.precision import at_precision, cast_weights, float32_products
from utils.settings import Settings

LEARNING_RATE = 1e-4
LONG_RUN = 10**6  # steps: what `auto` decides for a training of days


class How(NamedTuple):
    """How a contestant is run. best: the peer's best setting rather than its default. compiled: as for a long run; ours, on a
    GPU, as `auto` has it."""

    device: str
    batch_size: int
    best: bool = False
    precision: str = "fp32"
    compiled: bool = False


class Contestant(NamedTuple):
    """network: the one that is trained, called as forward(x_t, t) for its FLOPs; step: a training step, of `pictures`
    pictures; draw: count, steps -> pictures, from the weights of `drawn`."""

    network: nn.Module
    forward: Callable[[Tensor, Tensor], Tensor]
    step: Callable[[], object]
    pictures: int
    draw: Callable[..., object]
    drawn: nn.Module


def ours(settings: Settings, images: np.ndarray, how: How, labels: np.ndarray | None = None) -> Contestant:
    """train_solver.py's own steps, one a call, without its log; a student's, where the settings name a teacher.

    `labels`: int64 (N,), where the network has classes. It draws by the settings' sampler, in so many steps; with
    classes, picture k is of class k mod num_classes, or of the k-th of the `labels` that `draw` is given.
    """
    from interop.training_on import load_first_weights
    from train_solver import build_batches, build_network, build_teaching, build_trainer, schedule_of, step_options
    from training.networks import networks_of
    from training.optimizers import set_learning_rate
    from training.step import train_step

    ranks = Ranks(how.device)
    model = build_network(settings, ranks)
    load_first_weights(model, settings.first_weights)
    trainer = build_trainer(settings, model, ranks)
    diffusion = build_diffusion(**settings.diffusion.model_dump()).to(ranks.device)
    assert how.batch_size == settings.train.batch_size, "the steps take their batch from the settings"
    batches = build_batches(settings, LabelledImages(images, labels, ()), ranks)
    schedule, options = schedule_of(settings, len(images)), step_options(settings)
    teaching = build_teaching(settings, schedule, ranks)
    compile = True if how.compiled and ranks.device.type == "cpu" else settings.run.compile
    total_steps = LONG_RUN if how.compiled else schedule.total_steps
    of_run = {"total_steps": total_steps, "batch_size": options.batch_size, "accumulate": options.accumulate}
    of_run |= {"size": settings.data.shape[1:], "time_dtype": network_input.time_dtype(diffusion)}
    network, _ = networks_of(trainer, ranks, how.precision, compile, **of_run)

    @cache
    def drawer() -> nn.Module:
        """The averaged network as test_solver.py has it; not made before it is wanted, for its memory."""
        model = copy.deepcopy(trainer.ema.model)
        if pick_channels_last(settings.run.channels_last, ranks.device, how.precision, training=False):
            model.to(memory_format=torch.channels_last)
        cast_weights(model, how.precision, ranks.device)
        compile_in_place(model, compile, ranks.device, total_steps)
        return model

    def step() -> None:
        set_learning_rate(trainer.optimizer, schedule.learning_rate_at(trainer.step))
        with float32_products(how.precision, ranks.device):
            train_step(trainer, network, diffusion, batches, options, ranks, teaching)
        trainer.step += 1

    def draw_pictures(count: int, steps: int, labels: Sequence[int] | None = None) -> Tensor:
        drawer().load_state_dict(trainer.ema.model.state_dict())
        drawing = at_precision(drawer(), how.precision, ranks.device)
        info = replace(SampleInfo.parse(settings.sample.sample_info), steps=steps)
        seeds, num_classes = range(count), settings.model.num_classes
        if labels is None and num_classes:
            labels = labels_for(seeds, "all", num_classes)
        shape = images.shape[1:]
        return draw(drawing, diffusion, info, seeds, shape, ranks.device, labels=labels, num_classes=num_classes)

    def forward(x_t: Tensor, t: Tensor) -> Tensor:
        with as_written(trainer.model):  # the operators of a graph are not seen
            return trainer.model(x_t, t)

    return Contestant(trainer.model, forward, step, how.batch_size, draw_pictures, trainer.ema.model)


def diffusers(settings: Settings, images: np.ndarray, how: How) -> Contestant:
    """UNet2DModel of the same channels, blocks and attention; folded pixels are folded before it, as ours are inside."""
    from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    device = torch.device(how.device)
    model = unet_2d(settings).to(device)
    fold = settings.model.patch_size
    schedule = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.95, 0.999), weight_decay=1e-6, fused=how.best or None
    )
    rates = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=100_000)
    ema = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True, foreach=how.best)
    ema.to(device)
    batches = resident(images, how) if how.best else loader(images, how)
    if how.compiled:
        model.compile()

    def forward(x_t: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=how.precision == "bf16"):
            return model(x_t, t).sample.float()

    def step() -> None:
        clean = F.pixel_unshuffle(next(batches).to(device), fold)
        noise = torch.randn_like(clean)
        t = torch.randint(0, 1000, (len(clean),), device=device)
        loss = F.mse_loss(forward(schedule.add_noise(clean, noise, t), t), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.step()
        optimizer.zero_grad()
        ema.step(model.parameters())
        if not how.best:
            loss.detach().item()  # its log, every step

    def draw_pictures(count: int, steps: int) -> object:
        pipeline = DDIMPipeline(model.eval(), DDIMScheduler(num_train_timesteps=1000))
        pipeline.set_progress_bar_config(disable=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=how.precision == "bf16"):
            drawn = pipeline(batch_size=count, num_inference_steps=steps, output_type="pt")
        model.train()
        return drawn.images.cpu()

    return Contestant(model, forward, step, how.batch_size, draw_pictures, model)


def unet_2d(settings: Settings) -> nn.Module:
    """diffusers' UNet2DModel with our network's levels, channels, blocks, attention and heads."""
    from diffusers import UNet2DModel

    block, data = settings.model, settings.data
    side = data.image_size // block.patch_size
    attends = [side // 2**level in block.attention_resolutions for level in range(len(block.channel_mult))]
    widths = [block.base_channels * mult for mult in block.channel_mult]
    channels = data.image_channel * block.patch_size**2
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=block.num_res_blocks,
        block_out_channels=tuple(widths),
        down_block_types=tuple("AttnDownBlock2D" if attention else "DownBlock2D" for attention in attends),
        up_block_types=tuple("AttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(attends)),
        attention_head_dim=max(widths) // block.num_heads,
        norm_num_groups=block.norm_groups,
    )


def resident(images: np.ndarray, how: How) -> Iterator[Tensor]:
    """Endless random batches of a set that lies on the device: (B, C, H, W) in [-1, 1]."""
    pictures = torch.from_numpy(np.array(images)).to(how.device)
    while True:
        chosen = torch.randint(0, len(pictures), (how.batch_size,), device=how.device)
        yield to_float(pictures[chosen])


def loader(images: np.ndarray, how: How) -> Iterator[Tensor]:
    """Endless batches as the diffusers example makes them: a DataLoader without workers over Pillow pictures."""
    from torch.utils.data import DataLoader
    from torchvision import transforms

    size, channels = images.shape[2], images.shape[1]
    augment = transforms.Compose(
        [
            transforms.ToPILImage(),
            transforms.Resize(size, interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.RandomCrop(size),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * channels, [0.5] * channels),
        ]
    )
    pictures = [augment.transforms[0](np.moveaxis(picture, 0, -1)) for picture in images]
    augment.transforms = augment.transforms[1:]
    while True:
        yield from DataLoader(
            pictures,
            how.batch_size,
            shuffle=True,
            collate_fn=lambda batch: torch.stack([augment(p) for p in batch]),
            drop_last=True,
        )


def picture_folder(images: np.ndarray, folder: Path) -> Path:
    """Writes each picture as a PNG into `folder`, for the peers that read files."""
    for i, picture in enumerate(images):
        save_png(folder / f"{i:05d}.png", torch.from_numpy(np.array(picture)))
    return folder
