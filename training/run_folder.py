"""The folder of a run: who may write into it, what a save writes, and which state a run goes on from."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from utils.checkpoints import (
    LOG_FILE,
    MILESTONES,
    PREVIOUS_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    digest,
    load_state,
    write_checkpoint,
)
from utils.classes import Classes
from utils.errors import RequestError
from utils.files import atomic_write, folder_made, refuse_unwritable
from utils.run_files import sheets_of

LOCK_FILE = ".lock"
Card = Callable[[dict, Path], object]
# What a file system says that knows no locks, as some network disks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Holds the run folder for this process alone, made if need be, and clears it of what a killed one left half written.

    RequestError if another process trains there. The system ends the lock with its process. A folder that was made here
    and in which nothing was written is removed at the end.
    """
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"--save_dir {folder} is a file; choose a folder")
    lock = FileLock(folder / LOCK_FILE)
    with folder_made(str(folder)):
        try:
            with refuse_unwritable(folder):
                _acquire(lock, folder)
            for leftover in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
                leftover.unlink()
            yield
        finally:
            if lock.is_locked:
                with suppress(OSError):  # Windows removes the file when the lock is released, and not before
                    os.unlink(folder / LOCK_FILE)
                lock.release()


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise RequestError(f"another process is training in {folder}; choose another --save_dir") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        print(f"Note:    {folder} cannot be locked ({error.strerror}): see that no other process trains there")


def find_state(folder: Path, resume: str, check_settings: Callable[[str, Path], None]) -> dict | None:
    """The state of the run in `folder` that a training goes on from; None if there is no run.

    `check_settings` is given the settings in the state, as JSON, and the state's path; it raises RequestError if they are
    another training's. If the newest state is damaged, that is printed, it is put aside, and the one before it is taken.
    RequestError, with nothing changed, if `resume` is "never" and there is a run, or if no state can be read.
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
        check_settings(state["settings"], path)
        for bad, why in damaged:
            print(f"Damaged: {why}; put aside as {bad.name}.damaged")
            bad.replace(bad.with_name(f"{bad.name}.damaged"))
        if damaged:
            print(f"Instead: {path}, of step {state['step']:,}")
        return state
    raise RequestError(f"{damaged[0][1]}; nor can any older state in {folder} be read: choose another --save_dir")


def write_snapshot(state: dict, folder: Path, milestone: bool = False, write_card: Card | None = None) -> None:
    """Writes trainer_state.pt, from which a training goes on, and model.safetensors, to draw from and to share.

    The state of before stays, as trainer_state.previous.pt; a `milestone` is also kept for good. `write_card` is given the
    state and the folder last, to describe the model beside it.
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
    write_weights(state, folder, write_card)


def write_weights(state: dict, folder: Path, write_card: Card | None = None) -> None:
    """Writes model.safetensors, see `write_checkpoint`, and what `write_card` writes beside it."""
    classes = Classes(**state["classes"])
    write_checkpoint(folder / WEIGHTS_FILE, state["ema"], state["settings"], state["step"], classes)
    if write_card is not None:
        write_card(state, folder)


def output_lines(folder: Path, step: int, total_steps: int, signal_number: int) -> list[str]:
    """Where the files of the run in `folder` are, which ended at `step`, by a signal if that is not 0; what to type next."""
    sheet = last_sheet(folder, step)
    stopped = f"Stopped by signal {signal_number} after step {step:,} of {total_steps:,}; the same command goes on from there."
    return [
        *([stopped] if signal_number else []),
        f"State:   {folder / STATE_FILE}",
        f"Log:     {folder / LOG_FILE}, and: tensorboard --logdir {folder / 'tensorboard'}",
        *([] if sheet is None else [f"Samples: {sheet}"]),
        f"Weights: {folder / WEIGHTS_FILE}",
        f"Draw:    python test_solver.py --model_path {folder / WEIGHTS_FILE}",
    ]


def last_sheet(folder: Path, step: int) -> Path | None:
    """The newest sheet of samples that is not later than `step`: later ones are of steps that the run went back from."""
    sheets = sheets_of(folder)
    return sheets.get(max((each for each in sheets if each <= step), default=-1))


def _link(path: Path, name: Path) -> None:
    """Makes `name` another name of the file at `path`; a copy, where the disk or the system knows no second names."""
    try:
        os.link(path, name)
    except (AttributeError, OSError):
        shutil.copyfile(path, name)
