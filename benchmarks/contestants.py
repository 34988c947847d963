"""This project and its peers, each as something that takes a training step and draws pictures.

`diffusers`: UNet2DModel, trained as in its examples/unconditional_image_generation (with `--use_ema`, as its README does).
`denoising-diffusion-pytorch`: Unet and GaussianDiffusion, trained by its Trainer. Each has two settings: "default", as a
user gets it, and "best": everything in memory on the device, fused optimizers, the same precision as ours, compiled or not.
"""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.feeds import loader, resident
from datasets import LabelledImages
from diffusion import SampleInfo, build_diffusion
from sampling.drawing import draw
from sampling.labels import labels_for
from utils.compiling import compile_in_place
from utils.device import pick_channels_last
from utils.distributed import Ranks
from utils.precision import at_precision, cast_weights, float32_products
from utils.settings import Settings

LEARNING_RATE = 1e-4


class How(NamedTuple):
    """How a contestant is run. best: the peer's best setting rather than its default."""

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
    draw: Callable[[int, int], object]
    drawn: nn.Module


def ours(settings: Settings, images: np.ndarray, how: How, labels: np.ndarray | None = None) -> Contestant:
    """train_solver.py's own steps, one a call, without its log. `labels`: int64 (N,), where the network has classes.

    It draws by the settings' sampler, in so many steps; with classes, picture k is of class k mod num_classes.
    """
    from train_solver import build_batches, build_network, build_trainer, schedule_of, step_options
    from training.optimizers import set_learning_rate
    from training.step import train_step

    ranks = Ranks(how.device)
    trainer = build_trainer(settings, build_network(settings, ranks), ranks)
    diffusion = build_diffusion(**settings.diffusion.model_dump()).to(ranks.device)
    assert how.batch_size == settings.train.batch_size, "the steps take their batch from the settings"
    batches = build_batches(settings, LabelledImages(images, labels, ()), ranks)
    schedule, options = schedule_of(settings, len(images)), step_options(settings)
    network = at_precision(trainer.model, how.precision, ranks.device)
    if how.compiled:
        compile_in_place(trainer.model, True, ranks.device, 0, in_parts=settings.train.accumulate > 1)

    @cache
    def drawer() -> nn.Module:
        """The averaged network as test_solver.py has it; not made before it is wanted, for its memory."""
        model = copy.deepcopy(trainer.ema.model)
        if pick_channels_last(settings.run.channels_last, ranks.device, how.precision, training=False):
            model.to(memory_format=torch.channels_last)
        cast_weights(model, how.precision, ranks.device)
        if how.compiled:
            compile_in_place(model, True, ranks.device, 0)
        return model

    def step() -> None:
        set_learning_rate(trainer.optimizer, schedule.learning_rate_at(trainer.step))
        with float32_products(how.precision, ranks.device):
            train_step(trainer, network, diffusion, batches, options, ranks)
        trainer.step += 1

    def draw_pictures(count: int, steps: int) -> Tensor:
        drawer().load_state_dict(trainer.ema.model.state_dict())
        drawing = at_precision(drawer(), how.precision, ranks.device)
        info = replace(SampleInfo.parse(settings.sample.sample_info), steps=steps)
        seeds, num_classes = range(count), settings.model.num_classes
        asked = {"labels": labels_for(seeds, "all" if num_classes else None, num_classes), "num_classes": num_classes}
        return draw(drawing, diffusion, info, seeds, images.shape[1:], ranks.device, **asked)

    return Contestant(trainer.model, trainer.model, step, how.batch_size, draw_pictures, trainer.ema.model)


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
    batches = resident(images, how.batch_size, how.device) if how.best else loader(images, how.batch_size)
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


def lucidrains(images: np.ndarray, how: How, folder: Path, dim: int, mults: tuple[int, ...], eta: float) -> Contestant:
    """denoising-diffusion-pytorch's Unet(dim, dim_mults), its other settings being its defaults.

    By default it is trained by its own Trainer, from the pictures in `folder`; at its best from memory, by the same steps.
    """
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    device = torch.device(how.device)
    model = Unet(dim, dim_mults=mults, channels=images.shape[1], flash_attn=how.best and how.device == "cuda")
    diffusion = GaussianDiffusion(model, image_size=images.shape[2], ddim_sampling_eta=eta).to(device)
    autocast = partial(torch.autocast, device.type, dtype=torch.bfloat16, enabled=how.precision == "bf16")
    if how.best:
        step, ema = _lucidrains_best(diffusion, images, how, autocast)
    else:
        step, ema = _lucidrains_default(diffusion, how, folder)
    if how.compiled:
        model.compile()
        ema.ema_model.model.compile()

    def draw_pictures(count: int, steps: int) -> Tensor:
        drawn = ema.ema_model.eval()
        drawn.sampling_timesteps, drawn.is_ddim_sampling = steps, steps < 1000
        with autocast():
            return drawn.sample(batch_size=count).float().cpu()

    parts = 1 if how.best else accumulated(how)
    return Contestant(model, model, step, parts * how.batch_size, draw_pictures, ema.ema_model)


def accumulated(how: How) -> int:
    """Batches to an update of its Trainer, which refuses fewer than 16 pictures."""
    return -(-16 // how.batch_size)


def _lucidrains_default(diffusion: nn.Module, how: How, folder: Path) -> tuple[Callable[[], object], nn.Module]:
    """Its Trainer, asked for one more step at a time; it never draws or saves meanwhile."""
    from denoising_diffusion_pytorch import Trainer
    from denoising_diffusion_pytorch import denoising_diffusion_pytorch as package

    package.tqdm = lambda *args, **options: tqdm(*args, **{**options, "disable": True})
    trainer = Trainer(
        diffusion,
        str(folder),
        train_batch_size=how.batch_size,
        gradient_accumulate_every=accumulated(how),
        calculate_fid=False,
        save_and_sample_every=10**9,
        results_folder=tempfile.mkdtemp(),
    )
    trainer.accelerator.print = lambda *_: None

    def step() -> None:
        trainer.train_num_steps = trainer.step + 1
        trainer.train()

    return step, trainer.ema


def _lucidrains_best(diffusion: nn.Module, images: np.ndarray, how: How, autocast) -> tuple[Callable, nn.Module]:
    """The Trainer's step with nothing else between the steps."""
    from ema_pytorch import EMA as TheirEMA

    optimizer = torch.optim.Adam(diffusion.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), fused=True)
    ema = TheirEMA(diffusion, beta=0.995, update_every=10, use_foreach=True)
    batches = resident(images, how.batch_size, how.device)

    def step() -> None:
        with autocast():
            loss = diffusion((next(batches) + 1) / 2)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update()

    return step, ema


def matched_width(wanted: int, size: int, channels: int, mults: tuple[int, ...]) -> int:
    """The `dim` of a Unet whose forward pass of one picture comes nearest to `wanted` FLOPs. Counted without computing."""
    from denoising_diffusion_pytorch import Unet

    from benchmarks.side_by_side import flops

    def cost(dim: int) -> int:
        with torch.device("meta"):
            network = Unet(dim, dim_mults=mults, channels=channels)
            return flops(lambda: network(torch.zeros(1, channels, size, size), torch.zeros(1, dtype=torch.long)))

    return min(range(8, 193, 8), key=lambda dim: abs(cost(dim) - wanted))
