"""Trains a diffusion model: python train_solver.py --data_name Mnist_Mini

Settings -> pictures, UNet, GaussianDiffusion -> one flat loop. The run is kept in train_results/NAME, and the same command
given again goes on from there. On several devices: torchrun --nproc_per_node=N train_solver.py ...
"""

import argparse
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from utils.command_line import parse_args
from utils.threads import use_threads, wait_passively

if __name__ == "__main__":
    wait_passively()
    ARGS = parse_args()  # before torch is loaded, so that --help answers at once

import numpy as np
import torch
from torch import Tensor, nn

from datasets import Batches, ImageDataset, LabelledImages
from diffusion import GaussianDiffusion, SampleInfo, build_diffusion, network_input
from interop.card import write_run_card
from interop.training_on import check_classes, load_first_weights, load_teacher, load_training
from models import build_model, parameter_count
from sampling.labels import labels_for
from sampling.network import Network
from training.due import Intervals, PreviewTimer, due_at, first_interval
from training.ema import EMA
from training.labels import classes_of
from training.plan import plan_lines
from training.monitor import TrainingMonitor
from training.networks import networks_of
from training.optimizers import build_optimizer, set_learning_rate
from training.previews import DATA_PICTURES, draw_sheet
from training.progress import PreviewPlan, ProgressBar
from training.recovery import rewind
from training.report import Report
from training.run_folder import find_state, lock_run_folder, output_lines, write_snapshot, write_weights
from training.run_log import RunLog
from training.schedule import TrainingSchedule
from training.state import TrainerState
from training.student import Teaching
from training.step import StepOptions, train_step
from utils.background import Background
from utils.classes import Classes
from utils.config import to_yaml
from utils.device import be_deterministic, check_training_memory, pick_channels_last
from utils.distributed import Ranks, silence_other_ranks
from utils.errors import RequestError
from utils.files import atomic_write, check_writable
from utils.precision import float32_products, pick_precision
from utils.same_run import check_same_run
from utils.script import StopSignal, run_script
from utils.seeds import derive_seed
from utils.settings import Settings


def main(args: argparse.Namespace) -> int:
    silence_other_ranks()
    flags = {f"run.{name}": getattr(args, name) for name in ("save_dir", "start_from", "seed", "device")}
    settings = load_training(args.config, args.data_name, args.overrides, flags | {"train.max_steps": args.max_steps})
    folder = Path(settings.run.save_dir or f"train_results/{settings.data_name}").absolute()
    if settings.run.deterministic:
        be_deterministic()
    ranks = Ranks(settings.run.device)
    if ranks.device.type == "cpu":
        part = settings.train.batch_size // (settings.train.accumulate * ranks.size)
        use_threads(part, settings.model.base_channels, int(np.prod(settings.data.shape[1:])) // settings.model.patch_size**2)
    dataset = ImageDataset(**settings.data.model_dump())
    picture_num = check_request(settings, dataset, folder, ranks)
    print_plan(settings, dataset, picture_num, folder, ranks)
    if args.dry_run:
        print(to_yaml(settings), end="")
        return 0

    with ExitStack() as exit_stack:
        state = ranks.broadcast_from_rank0(lambda: start_run(settings, folder, args.resume, exit_stack))
        data = dataset.load(require_labels=settings.model.num_classes > 0, cropped=False)
        model = build_network(settings, ranks)
        load_first_weights(model, settings.first_weights if state is None else None)
        tuned_times = settings.sample.tuned_times
        diffusion = build_diffusion(**settings.diffusion.model_dump(), tuned_times=tuned_times).to(ranks.device)
        trainer = build_trainer(settings, model, ranks)
        if state is not None:
            trainer.load(state, folder)
            print(f"Going on from step {trainer.step:,}.")
        schedule = schedule_of(settings, len(data.images))  # skipped pictures make it shorter than planned
        teaching = build_teaching(settings, schedule, ranks)
        trainer.check_teacher(None if teaching is None else teaching.digest)
        trainer.check_data(data.images, data.labels if settings.model.num_classes else None)
        trainer.classes = classes_of(data.labels, data.class_names) if settings.model.num_classes else Classes()
        if ranks.is_main:
            with atomic_write(folder / "config.yaml") as temporary:
                temporary.write_text(to_yaml(settings), encoding="utf-8")
            if settings.train.on_nonfinite == "rewind" and trainer.step == 0:
                trainer.save(folder)  # something to go back to
        signal_number = 0
        if trainer.step < schedule.total_steps:
            batches = build_batches(settings, data, ranks)
            signal_number = train(settings, schedule, trainer, diffusion, batches, folder, ranks, teaching)
            print(*output_lines(folder, trainer.step, schedule.total_steps, signal_number), sep="\n")
        else:
            if ranks.is_main:
                write_weights(trainer.snapshot(), folder, write_run_card)  # a kill may have come before them, after the state
            print("Nothing left to do. To train longer, raise train.train_epoch or --max_steps.")
    ranks.close()
    return 128 + signal_number if signal_number else 0


def check_request(settings: Settings, dataset: ImageDataset, folder: Path, ranks: Ranks) -> int:
    """The number of pictures to train on. RequestError for what cannot work, before anything is made or read."""
    ranks.broadcast_from_rank0(lambda: check_writable(folder, "--save_dir"))
    check_training_memory(parameter_count(settings.model_arguments()), ranks.device)
    picture_num = dataset.count()
    class_names = dataset.class_names()
    if settings.model.num_classes not in (0, len(class_names)):
        raise RequestError(
            f"model.num_classes {settings.model.num_classes} is not the number of classes of {settings.data_name}, "
            f"{len(class_names)}" + ("" if class_names else ": its pictures have no labels")
        )
    check_classes(settings, class_names)
    if (batch_size := settings.train.batch_size) < ranks.size:
        raise RequestError(f"train.batch_size {batch_size} is too small for {ranks.size} processes: one picture each")
    return picture_num


def start_run(settings: Settings, folder: Path, resume: str, exit_stack: ExitStack) -> dict | None:
    """Takes the folder for this run until `exit_stack` is closed. Returns the state to go on from, if there is one."""
    exit_stack.enter_context(lock_run_folder(folder))
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0  # by torchrun --max-restarts
    return find_state(folder, "auto" if restarted else resume, partial(check_same_run, settings, folder))


def build_batches(settings: Settings, data: LabelledImages, ranks: Ranks) -> Batches:
    """The batches of a training on the pictures, and on their labels where the network has classes: this rank's rows."""
    batch_size, seed, flip = settings.train.batch_size, settings.run.seed, settings.data.horizontal_flip
    labels, rows = data.labels if settings.model.num_classes else None, ranks.rows(batch_size)
    return Batches(data.images, batch_size, seed, flip, ranks.device, labels=labels, cropped_to=data.cropped_to, rows=rows)


def build_network(settings: Settings, ranks: Ranks) -> nn.Module:
    """The network with its first weights, which follow from the seed, on this rank's device."""
    torch.manual_seed(derive_seed(settings.run.seed, "weights"))
    model = build_model(**settings.model_arguments()).to(ranks.device)
    if pick_channels_last(settings.run.channels_last, ranks.device, precision_of(settings, ranks), training=True):
        model.to(memory_format=torch.channels_last)
    return model


def build_trainer(settings: Settings, model: nn.Module, ranks: Ranks) -> TrainerState:
    """The network, its average, its optimizer and its monitor as they are before the first step."""
    train = settings.train
    optimizer = build_optimizer(
        train.optimizer,
        model,
        learning_rate=train.learning_rate,
        muon_learning_rate=train.muon_learning_rate,
        betas=(train.adam_beta1, train.adam_beta2),
    )
    scaler = torch.amp.GradScaler(ranks.device.type, enabled=precision_of(settings, ranks) == "fp16")
    monitor = TrainingMonitor(settings.diffusion.timestep_num, ranks.device)
    return TrainerState(settings.model_dump_json(), model, EMA(model, train.ema_decay), optimizer, scaler, monitor)


def build_teaching(settings: Settings, schedule: TrainingSchedule, ranks: Ranks) -> Teaching | None:
    """Who teaches a student, and what; None where nothing is distilled."""
    if (teacher := load_teacher(settings)) is None:
        return None
    where = {"device": ranks.device, "precision": settings.run.precision}
    how = {"guidance": settings.teacher_guidance, "done_at": schedule.done_at}
    return Teaching.by(teacher, settings.train.teacher, settings.student, **where, **how)


def train(
    settings: Settings,
    schedule: TrainingSchedule,
    trainer: TrainerState,
    diffusion: GaussianDiffusion,
    batches: Batches,
    folder: Path,
    ranks: Ranks,
    teaching: Teaching | None = None,
) -> int:
    """The loop, from where `trainer` stands to the last step or to a signal. Returns that signal's number, else 0."""
    train = settings.train
    of_run = {"total_steps": schedule.total_steps, "batch_size": train.batch_size, "accumulate": train.accumulate}
    precision = precision_of(settings, ranks)
    of_run |= {"size": settings.data.shape[1:], "time_dtype": network_input.time_dtype(diffusion)}
    network, ema_network = networks_of(trainer, ranks, precision, settings.run.compile, **of_run)
    preview = previewer(settings, trainer, ema_network, diffusion, batches.examples(DATA_PICTURES), ranks)
    read_state = partial(find_state, folder, "auto", partial(check_same_run, settings, folder))
    options = step_options(settings)
    intervals = Intervals(train.log_every, train.sample_every, train.save_every, train.keep_every)
    timer = PreviewTimer(train.save_minutes if ranks.is_main else None)  # rank 0 decides for all
    log, stop = RunLog(folder, trainer.step, ranks.is_main), StopSignal()
    arithmetic = float32_products(precision, ranks.device)
    how = train.batch_size, preview_plan(settings), ranks.is_main, ranks.wait_for_device
    with arithmetic, ProgressBar(schedule.total_steps, trainer.step, *how) as progress, Background() as saving:
        report = Report(log, progress, trainer.monitor, preview, ranks, train.grad_clip, train.warmup_steps)
        while True:
            step = trainer.step
            lr = schedule.learning_rate_at(step)
            set_learning_rate(trainer.optimizer, lr)
            if step not in trainer.skipped:
                train_step(trainer, network, diffusion, batches, options, ranks, teaching)
            trainer.step = step = step + 1
            progress.update()

            # Asked once a step: a signal that comes later is for the next one, or nothing would be saved.
            signal_number, is_overdue = ranks.all_reduce_max(stop.number, timer.is_overdue())
            is_last, is_stopping = step == schedule.total_steps, signal_number > 0
            due = due_at(step, intervals, is_last=is_last, is_stopping=is_stopping, is_overdue=is_overdue > 0)
            if any(due) and not trainer.is_finite():
                saving.wait()
                rewind(trainer, train.on_nonfinite, lambda: ranks.broadcast_from_rank0(read_state), folder)
                report.back_to(trainer.step)
                continue
            report.show(step, due, lr)
            if due.save and ranks.is_main:
                log.flush()
                saving.do(write_snapshot, trainer.snapshot(), folder, due.keep, write_run_card)
            if due.save and due.preview:
                timer.restart()
            if is_last or is_stopping:
                break
    log.close()
    return signal_number


def precision_of(settings: Settings, ranks: Ranks) -> str:
    """What the network computes in."""
    return pick_precision(settings.run.precision, ranks.device)


def schedule_of(settings: Settings, picture_num: int) -> TrainingSchedule:
    """The steps and the learning rate of a training on so many pictures."""
    return TrainingSchedule(picture_num, **settings.train.model_dump(include=set(TrainingSchedule._fields)))


def step_options(settings: Settings) -> StepOptions:
    """What a step takes from the settings."""
    train = settings.train.model_dump(include=set(StepOptions._fields))
    return StepOptions(settings.run.seed, num_classes=settings.model.num_classes, **train)


def previewer(
    settings: Settings,
    trainer: TrainerState,
    network: Network,
    diffusion: GaussianDiffusion,
    images: np.ndarray,
    ranks: Ranks,
) -> Callable[[], tuple[Tensor, dict[str, float]]]:
    """`draw_sheet` of what `network` draws by now: always the pictures of the same seeds, and so of the same classes."""
    sample, seed, num_classes = settings.sample, settings.run.seed, settings.model.num_classes
    info, seeds = SampleInfo.parse(sample.sample_info), range(seed, seed + sample.sample_num)
    labels = labels_for(seeds, None, num_classes, *trainer.classes)
    asked = {"labels": labels, "num_classes": num_classes}
    return partial(draw_sheet, network, diffusion, info, seeds, images, sample.batch_size, ranks, **asked)


def preview_plan(settings: Settings) -> PreviewPlan:
    """When the network's drawings are looked at, and what they cost."""
    train, sample = settings.train, settings.sample
    calls = sample.sample_num * SampleInfo.parse(sample.sample_info).network_calls
    return PreviewPlan(train.sample_every, first_interval(train.save_minutes), calls)


def print_plan(settings: Settings, dataset: ImageDataset, picture_num: int, folder: Path, ranks: Ranks) -> None:
    """What will be done, and where it will be found; see `plan_lines`."""
    data = settings.data
    lines = plan_lines(
        data_name=settings.data_name,
        picture_num=picture_num,
        shape=data.shape,
        survey=dataset.survey().lines() if ranks.is_main else [],
        parameter_num=parameter_count(settings.model_arguments()),
        where=f"{ranks.device.type} in {precision_of(settings, ranks)}",
        batch_size=settings.train.batch_size,
        total_steps=schedule_of(settings, picture_num).total_steps,
        processes=ranks.size,
        previews=preview_plan(settings),
        folder=folder,
    )
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    run_script(lambda: main(ARGS))
