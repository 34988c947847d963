"""What a training leaves to read: log.jsonl, TensorBoard's files and the sheets of pictures."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from utils.checkpoints import LOG_FILE
from utils.files import atomic_write, refuse_unwritable
from utils.pictures import save_png
from utils.run_files import sheet_path


class RunLog:
    """The log of the run in `folder`, continued after `step`: what a killed run had written beyond it is dropped.

    Where it is not `writing` (another rank does) nothing happens.
    """

    def __init__(self, folder: Path, step: int, writing: bool = True):
        self.folder = folder
        self.path = folder / LOG_FILE
        self.writing = writing
        if writing:
            self._open(step)

    def _open(self, step: int) -> None:
        lines: list[str] = []
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        with atomic_write(self.path) as temporary:
            text = "".join(line for line in lines if _step_of(line) <= step)
            temporary.write_text(text, encoding="utf-8", newline="\n")
        self.file = open(self.path, "a", buffering=1, encoding="utf-8", newline="\n")
        with refuse_unwritable(self.folder / "tensorboard"):
            self.tensorboard = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)

    def back_to(self, step: int) -> None:
        """Goes on after the earlier `step`, as a new log of this folder would."""
        if self.writing:
            self.close()
            self._open(step)

    def scalars(self, step: int, groups: dict[str, dict[str, float]], warnings: Sequence[str] = ()) -> None:
        """One line of log.jsonl, in which the figures of all `groups` stand side by side, and the warnings.

        In TensorBoard a figure's curve is named after its group too, as train/loss.
        """
        if not self.writing:
            return
        line: dict[str, object] = {"step": step}
        for figures in groups.values():
            line |= figures
        if warnings:
            line["warnings"] = list(warnings)
        with refuse_unwritable(self.path):
            self.file.write(json.dumps(line) + "\n")
        with refuse_unwritable(self.folder / "tensorboard"):
            for warning in warnings:
                self.tensorboard.add_text("warnings", warning, step)
            for group, figures in groups.items():
                for name, value in figures.items():
                    self.tensorboard.add_scalar(f"{group}/{name}", value, step)

    def pictures(self, step: int, sheet: Tensor) -> None:
        """A sheet of drawn pictures, uint8 (C, H, W): samples/step_000500.png, and in TensorBoard."""
        if not self.writing:
            return
        with refuse_unwritable(self.folder / "tensorboard"):
            self.tensorboard.add_image("pictures/samples", sheet, step)
        save_png(sheet_path(self.folder, step), sheet)

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


def _step_of(line: str) -> float:
    """The step of a line of log.jsonl; infinity for the torn last line of a killed run."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")
