"""Trains a diffusion model: python train_solver.py --data_name Mnist_Mini

Settings -> pictures, UNet, GaussianDiffusion -> one flat loop. The run is kept in train_results/NAME, and the same command
given again goes on from there. On several devices: torchrun --nproc_per_node=N train_solver.py ...
"""

import argparse
import math
import os
from contextlib import ExitStack
from pathlib import Path

from utils.script import Arguments


def parse_args() -> argparse.Namespace:
    parser = Arguments(__doc__.split("\n")[0], takes_settings=True)
    parser.add_argument("--data_name", required=True, metavar="NAME", help="an entry of Train_Data in --config")
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
    resume = "auto: go on with the run in save_dir, if there is one; never: refuse if there is one"
    parser.add_argument("--resume", choices=["auto", "never"], default="auto", help=resume)
    parser.add_argument("--seed", type=int, metavar="N", help="everything random follows from it")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--max_steps", type=int, metavar="N", help="stop after step N, whatever train_epoch says")
    parser.add_argument("--dry_run", action="store_true", help="print what would be done, and stop")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

import numpy as np
import torch

from datasets import Batches, ImageDataset, to_float
from diffusion import GaussianDiffusion, SampleInfo, build_diffusion, draw_timesteps, self_condition
from models import build_model, parameter_count
from utils.background import Background
from utils.checkpoints import STATE_FILE, WEIGHTS_FILE
from utils.config import load_settings, to_yaml
from utils.device import (
    at_precision,
    be_deterministic,
    check_training_memory,
    compile_in_place,
    pick_channels_last,
    pick_precision,
)
from utils.distributed import Ranks, silence_other_ranks, split_evenly
from training.monitor import Doctor, picture_complaints
from sampling.drawing import draw_sheet
from training.ema import EMA
from utils.errors import RequestError
from utils.files import check_writable, atomic_write
from training.run_log import Pace, RunLog
from utils.script import StopSignal, run_script
from utils.seeds import derive_seed, generator
from utils.settings import Settings, TrainSettings
from utils.version import VERSION
from training.state import TrainerState, claimed, find_state, write_snapshot, write_weights


def main(args: argparse.Namespace) -> int:
    silence_other_ranks()
    flags = {
        "run.save_dir": args.save_dir,
        "run.seed": args.seed,
        "run.device": args.device,
        "train.max_steps": args.max_steps,
    }
    settings = load_settings(args.config, args.data_name, args.overrides, flags)
    data, knobs = ImageDataset(**settings.data.model_dump()), settings.train
    folder = Path(settings.run.save_dir or f"train_results/{settings.data_name}").absolute()
    if settings.run.deterministic:
        be_deterministic()
    ranks = Ranks(settings.run.device)
    ranks.broadcast_from_rank0(lambda: check_writable(folder, "--save_dir"))
    check_training_memory(parameter_count(settings.model_arguments()), ranks.device)
    picture_num = data.count()
    if knobs.batch_size < ranks.size:
        raise RequestError(
            f"train.batch_size {knobs.batch_size} is too small for {ranks.size} processes: one picture each"
        )

    trainer = build_trainer(settings, ranks)
    total_steps = steps_of(settings, picture_num)
    print_plan(settings, trainer, picture_num, total_steps, folder, ranks)
    if args.dry_run:
        print(to_yaml(settings), end="")
        return 0
    with ExitStack() as held:
        images = begin(args, settings, trainer, folder, ranks, held)
        if trainer.step < steps_of(settings, len(images)):
            status = train(settings, trainer, images, folder, ranks)
        else:
            if ranks.is_main:
                write_weights(trainer.snapshot(), folder)  # a kill may have come between the last state and its weights
            print("Nothing left to do. To train longer, raise train.train_epoch or --max_steps.")
            status = 0
    ranks.close()
    return status


def begin(args, settings: Settings, trainer: TrainerState, folder: Path, ranks: Ranks, held: ExitStack) -> np.ndarray:
    """Takes the folder for this run (`held` keeps it), goes on with what is in it, and reads the pictures.

    Returns them: uint8 (N, C, H, W). RequestError, with nothing left behind, if the run cannot go on or begin.
    """
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0  # by torchrun --max-restarts
    resume = "auto" if restarted else args.resume
    exists = folder.exists()
    if exists and ranks.is_main:
        held.enter_context(claimed(folder))
    state = ranks.broadcast_from_rank0(lambda: find_state(folder, resume, settings))
    images = ImageDataset(**settings.data.model_dump()).load().images
    if not exists and ranks.is_main:  # not before: what is refused leaves no empty folder behind
        held.enter_context(claimed(folder))
    if state is not None:
        trainer.load(state, folder)
        print(f"Going on from step {trainer.step:,}.")
    trainer.check_data(images)
    if ranks.is_main:
        with atomic_write(folder / "config.yaml") as temporary:
            temporary.write_text(to_yaml(settings), encoding="utf-8")
    return images


def build_trainer(settings: Settings, ranks: Ranks) -> TrainerState:
    """The network, its average and its optimizer as they are before the first step."""
    knobs, precision = settings.train, precision_of(settings, ranks)
    torch.manual_seed(derive_seed(settings.run.seed, "weights"))
    model = build_model(**settings.model_arguments()).to(ranks.device)
    if pick_channels_last(settings.run.channels_last, ranks.device, precision, training=True):
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=knobs.learning_rate, betas=(knobs.adam_beta1, knobs.adam_beta2), fused=True
    )
    scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision == "fp16")
    doctor = Doctor(settings.diffusion.timestep_num, ranks.device)
    return TrainerState(settings, model, EMA(model, knobs.ema_decay), optimizer, scaler, doctor)


def train(settings: Settings, trainer: TrainerState, images: np.ndarray, folder: Path, ranks: Ranks) -> int:
    """The loop, from where `trainer` stands to the last step, or to a signal. Returns the exit status."""
    knobs, device = settings.train, ranks.device
    rows, flip = ranks.rows(knobs.batch_size), settings.data.horizontal_flip
    batches = Batches(images, knobs.batch_size, settings.run.seed, flip, device, rows=rows)
    total_steps = steps_of(settings, len(images))  # fewer than planned, if there were unreadable pictures to skip
    # By the whole run's length: going on with it must not compile otherwise.
    compile_in_place(trainer.model, settings.run.compile, device, total_steps)
    precision = precision_of(settings, ranks)
    network = at_precision(ranks.wrap_model(trainer.model), precision, device)
    ema_network = at_precision(trainer.ema.model, precision, device)
    diffusion = build_diffusion(**settings.diffusion.model_dump()).to(device)
    info = SampleInfo.parse(settings.sample.sample_info)
    seeds = range(settings.run.seed, settings.run.seed + settings.sample.sample_num)  # always of the same pictures
    if knobs.on_nonfinite == "rewind" and trainer.step == 0 and ranks.is_main:
        trainer.save(folder)  # something to go back to
    # max_steps only stops a training: the first steps of a longer one are the same.
    decay_end = max(total_steps, epochs_in_steps(settings, batches.steps_per_epoch))
    log = RunLog(folder, trainer.step, ranks.is_main)
    stop, pace = StopSignal(), Pace(total_steps, trainer.step, ranks.is_main)

    ends = False
    with pace.bar, Background() as saving:
        while not ends:
            step = trainer.step
            trainer.optimizer.param_groups[0]["lr"] = learning_rate_at(step, knobs, decay_end)
            if step not in trainer.skipped:
                train_step(trainer, network, diffusion, batches, ranks)
            trainer.step = step = step + 1
            stop.agree(ranks.all_reduce_max)
            pace.bar.update()

            # Looked at once a step: a signal that comes later is for the next one, or nothing would be saved.
            ends = step == total_steps or stop.number is not None
            logs, shows = step % knobs.log_every == 0, step % knobs.sample_every == 0 or step == total_steps
            keeps = knobs.keep_every is not None and step % knobs.keep_every == 0
            saves = step % knobs.save_every == 0 or keeps or ends
            if (logs or shows or saves) and not trainer.went_well(folder, ranks, saving.wait):
                log.close()
                log = RunLog(folder, trainer.step, ranks.is_main)
                pace.back_to(trainer.step)
                ends = False
                continue
            figures, complaints, warm = {}, [], step > knobs.warmup_steps
            if logs:
                figures, complaints = trainer.doctor.report(ranks, knobs.grad_clip, warm)
                figures["pictures_per_second"] = pace.since(step) * knobs.batch_size
            if shows:
                sheet, seen = draw_sheet(ema_network, diffusion, info, seeds, images, settings.sample.batch_size, ranks)
                log.pictures(step, sheet)
                figures |= seen
                complaints += picture_complaints(seen) if warm else []
            if figures:
                log.scalars(step, complaints, **figures)
                pace.show(figures, complaints)
            if saves and ranks.is_main:
                log.flush()
                saving.do(write_snapshot, trainer.snapshot(), folder, keeps)
    log.close()
    print_end(folder, trainer.step, total_steps, stop)
    return stop.exit_status


def train_step(trainer: TrainerState, network, diffusion: GaussianDiffusion, batches: Batches, ranks: Ranks) -> None:
    """One update of the weights and their average. Everything random about step k follows from (seed, k) alone.

    Timesteps and noise are drawn for the whole batch; this rank works its rows of it, in train.accumulate parts.
    """
    step, knobs, seed, device = trainer.step, trainer.settings.train, trainer.settings.run.seed, ranks.device
    stream = generator(device, seed, "noise", step)
    rows, x_0 = ranks.rows(knobs.batch_size), to_float(batches[step].images)  # (R, C, H, W), R of the batch's B pictures
    t = draw_timesteps(knobs.batch_size, diffusion.timestep_num, knobs.timestep_logit_normal, stream)  # (B,)
    noise = torch.randn((knobs.batch_size, *x_0.shape[1:]), generator=stream, device=device)  # (B, C, H, W)
    shown = self_condition.for_training(network, diffusion, derive_seed(seed, "estimate", step) % 2 == 0)

    trainer.optimizer.zero_grad()
    for part in split_evenly(rows, min(knobs.accumulate, len(x_0))):
        torch.manual_seed(derive_seed(seed, "dropout", step))
        trainer.model.part_of_batch(part.start, knobs.batch_size)
        with ranks.sync_gradients_when(part.stop == rows.stop):
            x_0_part = x_0[part.start - rows.start : part.stop - rows.start]
            losses = diffusion.training_losses(shown, x_0_part, t[part], noise[part])  # a row each
            # The mean over the whole batch: DistributedDataParallel divides the sum of the ranks' by their number.
            trainer.scaler.scale(losses.sum() * (ranks.size / knobs.batch_size)).backward()
        trainer.doctor.note_losses(t[part], losses.detach())
    trainer.scaler.unscale_(trainer.optimizer)
    norm = torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), knobs.grad_clip or math.inf)
    trainer.doctor.note_gradient(step, norm, scaled=trainer.scaler.is_enabled())
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    trainer.ema.update(trainer.model, step)


def precision_of(settings: Settings, ranks: Ranks) -> str:
    """What the network computes in."""
    return pick_precision(settings.run.precision, ranks.device)


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


def print_plan(
    settings: Settings, trainer: TrainerState, picture_num: int, total_steps: int, folder: Path, ranks: Ranks
) -> None:
    """What will be done, and where it will be found."""
    data, batch_size = settings.data, settings.train.batch_size
    shape = f"{data.image_size}x{data.image_size}, {'grey' if data.image_channel == 1 else 'RGB'}"
    where = f"{ranks.device.type} in {precision_of(settings, ranks)}"
    shared = f", shared by {ranks.size} processes" if ranks.size > 1 else ""
    print(f"Version: {VERSION}")
    print(f"Data:    {settings.data_name}, {picture_num:,} pictures, {shape}")
    print(f"Network: {parameter_count(settings.model_arguments()):,} parameters, on {where}")
    print(
        f"Steps:   {picture_num / batch_size:,.1f} an epoch, {total_steps:,} in all, {batch_size} pictures each{shared}"
    )
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
