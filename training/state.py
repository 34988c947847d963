"""The state of a training: all that its next step depends on, as one value that is saved and loaded."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from training.ema import EMA
from training.monitor import TrainingMonitor
from training.run_folder import write_snapshot
from utils.checkpoints import digest
from utils.classes import Classes
from utils.errors import RequestError
from utils.untrusted import load_optimizer, load_part, load_weights
from utils.version import VERSION

LEAST_SCALE = 1.0  # of fp16's gradient scaler: below it, the gradients themselves are at fault
SAMPLED_PICTURES = 256  # of the data, by which it is recognised


class TrainerState:
    """A training in progress: everything that its next step depends on, beside the settings and the data.

    settings_json: the settings, which only travel in the files; model: the raw weights; ema: their average, in a network
    of its own; optimizer; scaler: of the gradients, enabled for fp16; monitor: what it saw since the last line of the log;
    step: how many were done; skipped: the steps whose batch is left out; data: what the pictures are recognised by, once
    `check_data` saw them; teacher: a student's, by the digest of its weights, once `check_teacher` saw it; classes: the
    data's, which only travel in the files.
    """

    def __init__(
        self,
        settings_json: str,
        model: nn.Module,
        ema: EMA,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        monitor: TrainingMonitor,
    ):
        self.settings_json = settings_json
        self.model = model
        self.ema = ema
        self.optimizer = optimizer
        self.scaler = scaler
        self.monitor = monitor
        self.step = 0
        self.skipped: list[int] = []
        self.data: str | None = None
        self.teacher: str | None = None
        self.classes = Classes()

    def snapshot(self) -> dict:
        """A copy, on the CPU, of all that `write_snapshot` puts on the disk."""
        return _copied(
            {
                "version": VERSION,
                "settings": self.settings_json,
                "step": self.step,
                "skipped": self.skipped,
                "data": self.data,
                "teacher": self.teacher,
                "classes": self.classes._asdict(),
                "model": self.model.state_dict(),
                "ema": self.ema.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "monitor": self.monitor.state_dict(),
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
        if state["scaler"]:  # else it was saved in another precision than fp16, and a new scaler begins
            load_part(self.scaler, state["scaler"], source)
        load_part(self.monitor, state["monitor"], source)
        self.step, self.skipped = state["step"], list(state["skipped"])
        self.data, self.teacher = state["data"], state["teacher"]

    def is_finite(self) -> bool:
        """Whether every gradient so far was; in fp16, at some scale. To be asked before a state is saved: see `rewind`."""
        if self.scaler.is_enabled() and self.scaler.get_scale() < LEAST_SCALE:
            return False
        return self.monitor.first_nonfinite_step() is None

    def check_data(self, images: np.ndarray, labels: np.ndarray | None = None) -> None:
        """RequestError unless these are the data that this training began with: `images`, uint8 (N, C, H, W), and the
        `labels`, int64 (N,), that the network is told; None where it is told none.

        A state from before labels were looked at knows the pictures alone, and goes on by them.
        """
        some = images[:: -(-len(images) // SAMPLED_PICTURES)]
        pictures = [list(images.shape), torch.from_numpy(np.array(some))]
        pictures_alone = digest(pictures)
        found = pictures_alone if labels is None else digest([*pictures, torch.from_numpy(np.array(labels))])
        if self.data not in (None, found, pictures_alone):
            what = "pictures are" if labels is None else "pictures or their classes are"
            raise RequestError(
                f"the {what} not those that this run began with: put them back, or choose another --save_dir"
            )
        self.data = found

    def check_teacher(self, teacher: str | None) -> None:
        """RequestError unless the teacher of this digest, None for none, is the one that this training began with."""
        if self.step and self.teacher != teacher:
            what = "the teacher, or train.teacher_guidance, is not the one that this run began with"
            raise RequestError(f"{what}: put it back, or choose another --save_dir")
        self.teacher = teacher


def _copied(value: object) -> object:
    """`value` with a copy on the CPU of every tensor in it."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(_copied(item) for item in value) if isinstance(value, list | tuple) else value
