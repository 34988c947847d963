"""What a training shows of itself as it goes: lines of the log, sheets of drawn pictures, warnings."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from training.due import Due
from training.monitor import TrainingMonitor
from training.previews import picture_warnings
from training.progress import ProgressBar
from training.run_log import RunLog
from utils.distributed import Ranks


class Report(NamedTuple):
    """What a training has to show, and where it goes.

    preview: draws a sheet of pictures and their figures, see `draw_sheet`. grad_clip, warmup_steps: of the training, by which
    its figures are judged.
    """

    log: RunLog
    progress: ProgressBar
    monitor: TrainingMonitor
    preview: Callable[[], tuple[Tensor, dict[str, float]]]
    ranks: Ranks
    grad_clip: float | None
    warmup_steps: int

    def show(self, step: int, due: Due, learning_rate: float) -> None:
        """What is `due` when `step` steps are done, the last at this learning rate. All ranks call it: they draw together."""
        figures, warnings, is_warmed_up = {}, [], step > self.warmup_steps
        if due.log:
            seen = self.monitor.figures(self.ranks)
            warnings += self.monitor.warnings(seen, self.grad_clip, is_warmed_up)
            figures["train"] = seen | {"lr": learning_rate, "pictures_per_second": self.progress.pictures_per_second()}
        if due.preview:
            sheet, figures["pictures"] = self.preview()
            self.log.pictures(step, sheet)
            warnings += picture_warnings(figures["pictures"]) if is_warmed_up else []
        if figures:
            self.log.scalars(step, figures, warnings)
            self.progress.show(figures, warnings)

    def back_to(self, step: int) -> None:
        """Goes on after the earlier `step`."""
        self.log.back_to(step)
        self.progress.back_to(step)
