"""denoising-diffusion-pytorch, as something that takes a training step and draws pictures: plain, and guided by classes.

Plain: its Unet and GaussianDiffusion, trained by its Trainer. Guided: those of its classifier_free_guidance.py. That file has
no Trainer, and the package's knows no classes, so the steps are the Trainer's (Adam, its EMA, its clipping), from memory.
"""

import importlib
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.contestants import LEARNING_RATE, Contestant, How, resident
from datasets import to_float


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
        batches = resident(images, how)

        def loss() -> Tensor:
            with autocast():
                return diffusion((next(batches) + 1) / 2)

        step, ema = steps_of_its_trainer(diffusion, loss)
    else:
        step, ema = steps_of_trainer_itself(diffusion, how, folder)
    if how.compiled:
        model.compile()
        ema.ema_model.model.compile()

    def draw_pictures(count: int, steps: int) -> Tensor:
        drawn = ema.ema_model.eval()
        drawn.sampling_timesteps, drawn.is_ddim_sampling = steps, steps < 1000
        with autocast():
            return drawn.sample(batch_size=count).float().cpu()

    def forward(x_t: Tensor, t: Tensor) -> Tensor:
        with autocast():  # its flash attention knows no fp32
            return model(x_t, t).float()

    parts = 1 if how.best else accumulated(how)
    return Contestant(model, forward, step, parts * how.batch_size, draw_pictures, ema.ema_model)


def lucidrains_guided(
    images: np.ndarray, labels: np.ndarray, how: How, dim: int, mults: tuple[int, ...], num_classes: int
) -> Contestant:
    """Its Unet with `num_classes` classes and its classifier-free guidance, all else being its defaults: the label dropped in
    half of the training, drawn at a scale of 6, rescaled by 0.7. Picture k is of class k mod num_classes.

    Its DDIM has an eta of 0, as beside ours without classes. Of its default, 1, few steps are not a number: from t = 999 the
    variance that is left, 0, comes out below 0 by rounding.
    """
    from denoising_diffusion_pytorch.classifier_free_guidance import GaussianDiffusion, Unet

    quiet("classifier_free_guidance")
    device = torch.device(how.device)
    model = Unet(dim, num_classes, dim_mults=mults, channels=images.shape[1])
    diffusion = GaussianDiffusion(model, image_size=images.shape[2], ddim_sampling_eta=0.0).to(device)
    pictures, classes = torch.from_numpy(np.array(images)).to(device), torch.from_numpy(labels).to(device)

    def loss() -> Tensor:
        chosen = torch.randint(len(pictures), (how.batch_size,), device=device)
        return diffusion((to_float(pictures[chosen]) + 1) / 2, classes=classes[chosen])

    step, ema = steps_of_its_trainer(diffusion, loss)

    def draw_pictures(count: int, steps: int) -> Tensor:
        drawn = ema.ema_model.eval()
        drawn.sampling_timesteps, drawn.is_ddim_sampling = steps, steps < 1000
        return drawn.sample(classes=torch.arange(count, device=device) % num_classes).float().cpu()

    def forward(x_t: Tensor, t: Tensor) -> Tensor:
        return model(x_t, t, torch.zeros_like(t))

    return Contestant(model, forward, step, how.batch_size, draw_pictures, ema.ema_model)


def quiet(module: str) -> None:
    """Its progress bars are switched off."""
    package = importlib.import_module(f"denoising_diffusion_pytorch.{module}")
    package.tqdm = lambda *args, **options: tqdm(*args, **{**options, "disable": True})


def accumulated(how: How) -> int:
    """Batches to an update of its Trainer, which refuses fewer than 16 pictures."""
    return -(-16 // how.batch_size)


def steps_of_trainer_itself(diffusion: nn.Module, how: How, folder: Path) -> tuple[Callable[[], object], nn.Module]:
    """Its Trainer, asked for one more step at a time; it never draws or saves meanwhile."""
    from denoising_diffusion_pytorch import Trainer

    quiet("denoising_diffusion_pytorch")
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


def steps_of_its_trainer(diffusion: nn.Module, loss: Callable[[], Tensor]) -> tuple[Callable[[], None], nn.Module]:
    """The Trainer's step on the next batch's `loss`, with nothing else between the steps; and the average of the weights."""
    from ema_pytorch import EMA as TheirEMA

    optimizer = torch.optim.Adam(diffusion.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), fused=True)
    ema = TheirEMA(diffusion, beta=0.995, update_every=10, use_foreach=True)

    def step() -> None:
        loss().backward()
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
