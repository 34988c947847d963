"""What a training says while it runs: log.jsonl, TensorBoard and the grids."""

import json
import os
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from utils.files import naming, written_whole
from utils.pictures import save_png


class RunLog:
    """The log of the run in `folder`, continued after `step`: what a killed run had written beyond it is dropped."""

    def __init__(self, folder: Path, step: int):
        self.folder = folder
        self.path = folder / "log.jsonl"
        lines = (
            self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            if self.path.exists()
            else []
        )
        with written_whole(self.path) as temporary:
            temporary.write_text("".join(line for line in lines if _step_of(line) <= step))
        self.file = open(self.path, "a", buffering=1)
        with naming(folder / "tensorboard"):
            self.tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def scalars(self, step: int, **values: float) -> None:
        """One line of log.jsonl, and one point of each TensorBoard curve."""
        with naming(self.path):
            self.file.write(json.dumps({"step": step, **values}) + "\n")
        with naming(self.folder / "tensorboard"):
            for name, value in values.items():
                self.tensorboard.add_scalar(name, value, step)

    def pictures(self, step: int, sheet: Tensor) -> Path:
        """A sheet of drawn pictures, uint8 (C, H, W): samples/step_000500.png, and in TensorBoard."""
        with naming(self.folder / "tensorboard"):
            self.tensorboard.add_image("samples", sheet, step)
        return save_png(self.folder / "samples" / f"step_{step:06d}.png", sheet)

    def close(self) -> None:
        """Flushes and closes the files."""
        with naming(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
        with naming(self.folder / "tensorboard"):
            self.tensorboard.close()


def _step_of(line: str) -> float:
    """The step of a line of log.jsonl; infinity for the torn last line of a killed run."""
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")
