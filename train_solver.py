"""Trains a diffusion model: python train_solver.py --data_name Mnist_Mini

Settings -> pictures, UNet, GaussianDiffusion -> one flat loop. The run is kept in train_results/NAME, and the same command
given again goes on from there.
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path

from utils.script import Arguments


def parse_args() -> argparse.Namespace:
    parser = Arguments(__doc__.split("\n")[0])
    parser.add_argument(
        "--data_name", required=True, metavar="NAME", help="an entry of Train_Data in the configuration"
    )
    parser.add_argument("--config", default="config.yaml", metavar="FILE", help="the configuration (config.yaml)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a setting, as in train.learning_rate=2e-4; may be given several times",
    )
    parser.add_argument("--save_dir", metavar="DIR", help="where the run is kept (train_results/NAME)")
    parser.add_argument(
        "--resume",
        choices=["auto", "never"],
        default="auto",
        help="auto: go on with the run in save_dir, if there is one; never: refuse if there is one",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="everything random follows from it")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--max_steps", type=int, metavar="N", help="stop after step N, whatever train_epoch says")
    parser.add_argument("--dry_run", action="store_true", help="print what would be done, and stop")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

import torch
from tqdm import tqdm

from datasets import Batches, check_source, load_images, to_float
from diffusion import GaussianDiffusion, SampleInfo, build_diffusion, draw_timesteps, self_condition
from models import build_model, parameter_count
from utils.checkpoints import STATE_FILE, WEIGHTS_FILE, TrainerState
from utils.config import load_settings, to_yaml
from utils.device import at_precision, check_training_memory, pick_compile, pick_device, pick_precision
from utils.drawing import batches_of, draw
from utils.ema import EMA
from utils.files import check_writable, written_whole
from utils.pictures import grid, near_square
from utils.run_log import RunLog
from utils.script import StopSignal, run_script
from utils.seeds import derive_seed, generator
from utils.settings import Settings, TrainSettings


def main(args: argparse.Namespace) -> int:
    flags = {
        "run.save_dir": args.save_dir,
        "run.seed": args.seed,
        "run.device": args.device,
        "train.max_steps": args.max_steps,
    }
    settings = load_settings(args.config, args.data_name, args.overrides, flags)
    data, knobs = settings.data, settings.train
    folder = Path(settings.run.save_dir or f"train_results/{settings.data_name}").absolute()
    device = pick_device(settings.run.device)
    precision = pick_precision(settings.run.precision, device)

    check_writable(folder, "--save_dir")
    check_training_memory(parameter_count(settings.model_arguments()), device)
    torch.manual_seed(derive_seed(settings.run.seed, "weights"))
    model = build_model(**settings.model_arguments()).to(device)
    picture_num = check_source(data.source, data.data_path, download=data.download)
    total_steps = steps_of(settings, picture_num)
    print_plan(settings, model, picture_num, total_steps, folder, f"{device} in {precision}")
    if args.dry_run:
        print(to_yaml(settings), end="")
        return 0

    optimizer = torch.optim.Adam(
        model.parameters(), lr=knobs.learning_rate, betas=(knobs.adam_beta1, knobs.adam_beta2), fused=True
    )
    trainer = TrainerState(settings, model, EMA(model, knobs.ema_decay), optimizer)
    if trainer.find(folder, args.resume):
        print(f"Going on from step {trainer.step:,}.")
    if trainer.step >= total_steps:
        print("Nothing left to do. To train longer, raise train.train_epoch or --max_steps.")
        return 0
    images = load_images(**data.model_dump(exclude={"horizontal_flip"}))
    batches = Batches(images, knobs.batch_size, settings.run.seed, data.horizontal_flip, device)
    total_steps = steps_of(settings, len(images))  # fewer, if there were unreadable pictures to skip
    with written_whole(folder / "config.yaml") as temporary:
        temporary.write_text(to_yaml(settings), encoding="utf-8")
    if pick_compile(settings.run.compile, device, total_steps - trainer.step):
        print("Compiling the network: the first step takes a minute or two.")
        model.compile()
    return train(settings, trainer, batches, total_steps, folder, precision)


def train(
    settings: Settings, trainer: TrainerState, batches: Batches, total_steps: int, folder: Path, precision: str
) -> int:
    """The loop, from where `trainer` stands to `total_steps`, or to a signal. Returns the exit status."""
    knobs, seed, device = settings.train, settings.run.seed, batches.device
    model, ema, optimizer = trainer.model, trainer.ema, trainer.optimizer
    diffusion = build_diffusion(**settings.diffusion.model_dump()).to(device)
    network, ema_network = at_precision(model, precision, device), at_precision(ema.model, precision, device)
    log = RunLog(folder, trainer.step)
    stop = StopSignal()
    bar = tqdm(total=total_steps, initial=trainer.step, unit="step", mininterval=0.5 if sys.stderr.isatty() else 30)
    # max_steps only stops a training: the first steps of a longer one are the same.
    decay_end = max(total_steps, epochs_in_steps(settings, batches.steps_per_epoch))
    clock = time.perf_counter()

    while trainer.step < total_steps and stop.number is None:
        step = trainer.step  # everything random about step k follows from (seed, k)
        stream = generator(device, seed, "noise", step)
        x_0 = to_float(batches[step])  # (B, C, H, W)
        t = draw_timesteps(len(x_0), diffusion.timestep_num, knobs.timestep_logit_normal, stream)  # (B,)
        noise = torch.randn(x_0.shape, generator=stream, device=device)
        torch.manual_seed(derive_seed(seed, "dropout", step))
        with_estimate = derive_seed(seed, "estimate", step) % 2 == 0
        shown = self_condition.for_training(network, diffusion, with_estimate)

        loss = diffusion.training_losses(shown, x_0, t, noise).mean()
        optimizer.zero_grad()
        loss.backward()
        grad_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), knobs.grad_clip or math.inf)
        optimizer.param_groups[0]["lr"] = learning_rate_at(step, knobs, decay_end)
        optimizer.step()
        ema.update(model, step)
        trainer.loss_sum += loss.detach()  # stays on the device: only logging waits for it
        trainer.step = step = step + 1
        bar.update()

        if step % knobs.log_every == 0:
            mean_loss = trainer.take_mean_loss(knobs.log_every)
            seconds, clock = time.perf_counter() - clock, time.perf_counter()
            rate = knobs.log_every * knobs.batch_size / seconds
            log.scalars(step, loss=mean_loss, grad_norm=grad_norm.item(), pictures_per_second=rate)
            bar.set_postfix_str(f"loss {mean_loss:.4f}, {rate:.0f} pictures/s")
        if step % knobs.sample_every == 0 or step == total_steps:
            log.pictures(step, draw_sheet(ema_network, diffusion, settings, device))
        if step % knobs.save_every == 0 or step == total_steps or stop.number is not None:
            trainer.save(folder)
    bar.close()
    log.close()
    print_end(folder, trainer.step, total_steps, stop)
    return stop.exit_status


def steps_of(settings: Settings, picture_num: int) -> int:
    """The steps of the whole training: max_steps, or as many as show each picture train_epoch times."""
    return settings.train.max_steps or epochs_in_steps(settings, picture_num / settings.train.batch_size)


def epochs_in_steps(settings: Settings, steps_per_epoch: float) -> int:
    """The steps that show each picture train_epoch times."""
    return math.ceil(settings.train.train_epoch * steps_per_epoch)


def learning_rate_at(step: int, knobs: TrainSettings, end: int) -> float:
    """The learning rate of step 0, 1, ...: a straight rise, then constant, or straight down to 0 at `end`.

    A function of the step alone: going on needs no scheduler's state.
    """
    rise = min(1.0, (step + 1) / max(1, knobs.warmup_steps))
    fall = max(0.0, 1 - step / end) if knobs.learning_rate_decay == "linear" else 1.0
    return knobs.learning_rate * rise * fall


def draw_sheet(network, diffusion: GaussianDiffusion, settings: Settings, device: torch.device) -> torch.Tensor:
    """A near-square grid of what `network` draws by now, always from the same seeds: uint8 (C, ...)."""
    info = SampleInfo.parse(settings.sample.sample_info)
    shape = (settings.data.image_channel, settings.data.image_size, settings.data.image_size)
    seeds = range(settings.run.seed, settings.run.seed + settings.sample.sample_num)
    pictures = [
        draw(network, diffusion, info, part, shape, device) for part in batches_of(seeds, settings.sample.batch_size)
    ]
    return grid(torch.cat(pictures), near_square(len(seeds)))


def print_plan(settings: Settings, model, picture_num: int, total_steps: int, folder: Path, where: str) -> None:
    """What will be done, and where it will be found."""
    data, batch_size = settings.data, settings.train.batch_size
    shape = f"{data.image_size}x{data.image_size}, {'grey' if data.image_channel == 1 else 'RGB'}"
    print(f"Data:    {settings.data_name}, {picture_num:,} pictures, {shape}")
    print(f"Network: {sum(p.numel() for p in model.parameters()):,} parameters, on {where}")
    print(f"Steps:   {picture_num / batch_size:,.1f} an epoch, {total_steps:,} in all, {batch_size} pictures each")
    print(f"Output:  {folder}{os.sep}", flush=True)


def print_end(folder: Path, step: int, total_steps: int, stop: StopSignal) -> None:
    """Where everything is, and what to type next."""
    if stop.number is not None:
        print(
            f"Stopped by signal {stop.number} after step {step:,} of {total_steps:,}; the same command goes on from there."
        )
    print(f"State:   {folder / STATE_FILE}")
    print(f"Log:     {folder / 'log.jsonl'}, and: tensorboard --logdir {folder / 'tensorboard'}")
    for sheet in sorted((folder / "samples").glob("step_*.png"))[-1:]:
        print(f"Samples: {sheet}")
    print(f"Weights: {folder / WEIGHTS_FILE}")
    print(f"Draw:    python test_solver.py --model_path {folder / WEIGHTS_FILE}")


if __name__ == "__main__":
    run_script(lambda: main(ARGS))
