"""What a training says while it runs: log.jsonl, TensorBoard and the grids."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from utils.files import atomic_write, refuse_unwritable
from utils.pictures import save_png


class RunLog:
    """The log of the run in `folder`, continued after `step`: what a killed run had written beyond it is dropped.

    Where it is not `writing` (another rank does) nothing happens.
    """

    def __init__(self, folder: Path, step: int, writing: bool = True):
        self.folder = folder
        self.writing = writing
        if not writing:
            return
        self.path = folder / "log.jsonl"
        lines = (
            self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            if self.path.exists()
            else []
        )
        with atomic_write(self.path) as temporary:
            temporary.write_text("".join(line for line in lines if _step_of(line) <= step))
        self.file = open(self.path, "a", buffering=1)
        with refuse_unwritable(folder / "tensorboard"):
            self.tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, complaints: Sequence[str] = (), **values: float) -> None:
        """One line of log.jsonl, and one point of each TensorBoard curve; and what the doctor says of them."""
        if not self.writing:
            return
        with refuse_unwritable(self.path):
            line = {"step": step, **values, **({"doctor": complaints} if complaints else {})}
            self.file.write(json.dumps(line) + "\n")
        with refuse_unwritable(self.folder / "tensorboard"):
            for complaint in complaints:
                self.tensorboard.add_text("doctor", complaint, step)
            for name, value in values.items():
                self.tensorboard.add_scalar(name, value, step)

    def pictures(self, step: int, sheet: Tensor) -> None:
        """A sheet of drawn pictures, uint8 (C, H, W): samples/step_000500.png, and in TensorBoard."""
        if not self.writing:
            return
        with refuse_unwritable(self.folder / "tensorboard"):
            self.tensorboard.add_image("samples", sheet, step)
        save_png(self.folder / "samples" / f"step_{step:06d}.png", sheet)

    def flush(self) -> None:
        """To the disk, so that no state is ever ahead of its log."""
        if self.writing:
            with refuse_unwritable(self.path):
                os.fsync(self.file.fileno())

    def close(self) -> None:
        """Flushes and closes the files."""
        if not self.writing:
            return
        self.flush()
        with refuse_unwritable(self.path):
            self.file.close()
        with refuse_unwritable(self.folder / "tensorboard"):
            self.tensorboard.close()


class Pace:
    """The progress bar, and how fast it goes."""

    def __init__(self, total_steps: int, step: int, shown: bool):
        interval = 0.5 if sys.stderr.isatty() else 30
        self.bar = tqdm(total=total_steps, initial=step, unit="step", mininterval=interval, disable=not shown)
        self.said: set[str] = set()
        self.back_to(step)

    def back_to(self, step: int) -> None:
        """Measures from `step` on."""
        self.bar.n, self.step, self.clock = step, step, time.perf_counter()

    def since(self, step: int) -> float:
        """Steps a second since the last call, which was `step` or earlier."""
        clock = time.perf_counter()
        rate = (step - self.step) / (clock - self.clock)
        self.step, self.clock = step, clock
        return rate

    def show(self, figures: dict[str, float], complaints: list[str]) -> None:
        """The figures of a line of the log beside the bar; the doctor's words above it, each kind once (the log has all)."""
        if "loss" in figures:
            words = f"loss {figures['loss']:.4f}, {figures['pictures_per_second']:.0f} pictures/s"
            self.bar.set_postfix_str(words, refresh=False)
        for complaint in complaints:
            kind = complaint.partition(":")[0].rstrip("0123456789.e+- ")
            if kind not in self.said:
                self.said.add(kind)
                self.bar.write(f"Doctor:  step {self.bar.n:,}: {complaint}")


def _step_of(line: str) -> float:
    """The step of a line of log.jsonl; infinity for the torn last line of a killed run."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")
