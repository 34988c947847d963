"""The state of a training, on disk: all that its next step depends on, whole or not at all, and the one before it."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from training.ema import EMA
from training.monitor import Doctor
from utils.checkpoints import (
    MILESTONES,
    PREVIOUS_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    digest,
    load_state,
)
from utils.config import differences
from utils.distributed import Ranks
from utils.errors import RequestError
from utils.files import atomic_write
from utils.settings import Settings
from utils.untrusted import load_optimizer, load_part, load_weights, settings_from_json
from utils.version import VERSION

SKIPS = 3  # batches that a training may leave out before it gives up
# The blocks that make a run the run it is: with others of them, going on would be another training.
FIXED_BLOCKS = ("data", "model", "diffusion")
SCALE_LEAST = 1.0  # of fp16's gradient scaler: below it, the gradients themselves are at fault
SAMPLED_PICTURES = 256  # of the data, by which it is recognised


class TrainerState:
    """A training in progress: everything that its next step depends on, beside the settings and the data.

    model: the raw weights; ema: their average, in a network of its own; optimizer; scaler: of the gradients, enabled for
    fp16; doctor: what it saw since the last line of the log; step: how many were done; skipped: the steps whose batch is
    left out; data: what the pictures are recognised by, once `check_data` saw them.
    """

    def __init__(
        self,
        settings: Settings,
        model: nn.Module,
        ema: EMA,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        doctor: Doctor,
    ):
        self.settings = settings
        self.model = model
        self.ema = ema
        self.optimizer = optimizer
        self.scaler = scaler
        self.doctor = doctor
        self.step = 0
        self.skipped: list[int] = []
        self.data: str | None = None

    def snapshot(self) -> dict:
        """A copy, on the CPU, of all that `write_snapshot` puts on the disk."""
        return _copied(
            {
                "version": VERSION,
                "settings": self.settings.model_dump_json(),
                "step": self.step,
                "skipped": self.skipped,
                "data": self.data,
                "model": self.model.state_dict(),
                "ema": self.ema.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "doctor": self.doctor.state_dict(),
            }
        )

    def save(self, folder: Path, *, milestone: bool = False) -> None:
        """Writes the run's files as they are now, and is done when they are: see `write_snapshot`."""
        write_snapshot(self.snapshot(), folder, milestone)

    def load(self, state: dict, source: str | Path) -> None:
        """Becomes what `find_state` found in the file or folder `source`. RequestError, with nothing changed, if that is
        another network's."""
        load_weights(self.model, state["model"], source)
        load_weights(self.ema.model, state["ema"], source)
        load_optimizer(self.optimizer, state["optimizer"], source)
        load_part(self.scaler, state["scaler"], source)
        load_part(self.doctor, state["doctor"], source)
        self.step, self.skipped, self.data = state["step"], list(state["skipped"]), state["data"]

    def went_well(self, folder: Path, ranks: Ranks, saved: Callable[[], None] = lambda: None) -> bool:
        """Whether every gradient so far was finite. If not, goes back to the last state in `folder`, to do without the batch
        that was at fault, and says False. Asked before anything is saved, so that a state is always a good one; `saved`
        waits for what is still being saved.

        RequestError if train.on_nonfinite is "stop", or after a few such batches.
        """
        if self.scaler.is_enabled() and self.scaler.get_scale() < SCALE_LEAST:
            raise RequestError(
                f"fp16's gradients were not finite at any scale, by step {self.step}: use run.precision=bf16 or fp32, or lower "
                "train.learning_rate; the last state is from before"
            )
        mishap = self.doctor.first_mishap()
        if mishap is None:
            return True
        what = f"the gradient of step {mishap + 1} is not finite"
        if self.settings.train.on_nonfinite == "stop":
            raise RequestError(
                f"{what}: lower train.learning_rate or train.grad_clip, or set train.on_nonfinite=rewind; the last state is "
                "from before, and the same command goes on from it"
            )
        if len(self.skipped) == SKIPS:
            raise RequestError(f"{what}, and {SKIPS} batches were left out already: lower train.learning_rate")
        skipped = [*self.skipped, mishap]
        saved()
        self.load(ranks.broadcast_from_rank0(lambda: find_state(folder, "auto", self.settings)), folder)
        self.skipped = skipped
        print(f"\nDoctor:  {what}: back to step {self.step:,}, and on without that batch.", flush=True)
        return False

    def check_data(self, images: np.ndarray) -> None:
        """RequestError unless `images`, uint8 (N, C, H, W), are the pictures that this training began with."""
        some = images[:: -(-len(images) // SAMPLED_PICTURES)]
        found = digest([list(images.shape), torch.from_numpy(np.array(some))])
        if self.data not in (None, found):
            raise RequestError(
                "the pictures are not those that this run began with: put them back, or choose another --save_dir"
            )
        self.data = found


def write_snapshot(state: dict, folder: Path, milestone: bool = False) -> None:
    """Writes trainer_state.pt, from which a training goes on, and model.safetensors, to draw from and to share.

    The state of before stays, as trainer_state.previous.pt; a `milestone` is also kept for good.
    """
    path = folder / STATE_FILE
    with atomic_write(path) as temporary:
        torch.save(state | {"digest": digest(state)}, temporary)
        if path.exists():
            with atomic_write(folder / PREVIOUS_FILE) as other_name:
                _link(path, other_name)
    if milestone:
        with atomic_write(folder / MILESTONES / f"step_{state['step']:06d}.pt") as temporary:
            shutil.copyfile(path, temporary)
    write_weights(state, folder)


def write_weights(state: dict, folder: Path) -> None:
    """Writes model.safetensors: the EMA weights and, in its metadata, the settings. It holds nothing that can run."""
    metadata = {"settings": state["settings"], "step": str(state["step"]), "weights": "ema", "format": "pt"}
    metadata["version"] = VERSION
    weights = {name: tensor.contiguous() for name, tensor in state["ema"].items()}
    with atomic_write(folder / WEIGHTS_FILE) as temporary:
        save_file(weights, temporary, metadata)


def find_state(folder: Path, resume: str, settings: Settings) -> dict | None:
    """The state of the run in `folder` that a training with `settings` goes on from; None if there is no run.

    If its newest state is damaged, that is said, it is put aside, and the one before it is taken. RequestError, with
    nothing changed, if `resume` is "never" and there is a run, or if the run's network, diffusion, data or seed are others.
    """
    present = [name for name in (STATE_FILE, PREVIOUS_FILE, WEIGHTS_FILE) if (folder / name).exists()]
    if not present:
        return None
    states = [path for path in (folder / STATE_FILE, folder / PREVIOUS_FILE) if path.exists()]
    states += sorted((folder / MILESTONES).glob("step_*.pt"), reverse=True)
    if resume == "never" or not states:
        raise RequestError(f"{folder} holds {present[0]} of an earlier run; choose another --save_dir, or move it away")
    damaged: list[tuple[Path, str]] = []
    for path in states:
        try:
            state = load_state(path)
        except RequestError as error:
            damaged.append((path, str(error)))
            continue
        _check_settings(state, settings, folder, path)
        for bad, why in damaged:
            print(f"Damaged: {why}; put aside as {bad.name}.damaged")
            bad.replace(bad.with_name(f"{bad.name}.damaged"))
        if damaged:
            print(f"Instead: {path}, of step {state['step']:,}")
        return state
    raise RequestError(f"{damaged[0][1]}; nor can any older state in {folder} be read: choose another --save_dir")


def _check_settings(state: dict, settings: Settings, folder: Path, path: Path) -> None:
    """RequestError if `settings` would make another training of the one in `state`; what else changed is printed."""
    before = settings_from_json(state["settings"], path)
    other = differences(before, settings, FIXED_BLOCKS)
    if before.run.seed != settings.run.seed:
        other.append(f"run.seed: {before.run.seed} -> {settings.run.seed}")
    if other:
        raise RequestError(
            f"the run in {folder} has other settings ({'; '.join(other)}); choose another --save_dir, or the old settings"
        )
    for line in differences(before, settings, ("train",)):
        print(f"Changed since this run began: {line}")


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Holds the run folder for this process alone, made if need be, and clears it of what a killed one left half written.

    RequestError if another process trains there. The lock is the system's, on the folder itself: it ends with its process.
    """
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"--save_dir {folder} is a file; choose a folder")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise RequestError(f"another process is training in {folder}; choose another --save_dir") from None
            print(f"Note:    {folder} cannot be locked ({error.strerror}): see that no other process trains there")
        for leftover in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
            leftover.unlink()
        yield
    finally:
        os.close(handle)


def _copied(value: object) -> object:
    """`value` with a copy on the CPU of every tensor in it."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(_copied(item) for item in value) if isinstance(value, list | tuple) else value


def _link(path: Path, name: Path) -> None:
    """Makes `name` another name of the file at `path`; a copy, where the disk knows no second names."""
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)
