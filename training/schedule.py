"""How long a training is, and the learning rate of each of its steps."""

import math
from typing import NamedTuple


class TrainingSchedule(NamedTuple):
    """What is planned for a training on `picture_num` pictures: functions of plain numbers, without a state.

    train_epoch: how often each picture is seen. max_steps: the step after which it stops, whatever train_epoch says.
    learning_rate: the largest one, reached after `warmup_steps`. learning_rate_decay: "none" or "linear".
    """

    picture_num: int
    batch_size: int
    train_epoch: float
    max_steps: int | None
    learning_rate: float
    warmup_steps: int
    learning_rate_decay: str

    @property
    def epoch_steps(self) -> int:
        """The steps that show each picture train_epoch times."""
        return math.ceil(self.train_epoch * (self.picture_num / self.batch_size))

    @property
    def total_steps(self) -> int:
        """The steps of the whole training."""
        return self.max_steps or self.epoch_steps

    def done_at(self, step: int) -> float:
        """The share of the training, 0 to 1, that is done before step 0, 1, ...: of train_epoch, wherever max_steps stops."""
        return min(1.0, step / max(self.total_steps, self.epoch_steps))

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of step 0, 1, ...: a linear rise over the warm-up, then constant, or times a factor that falls
        linearly from 1 at step 0 to 0 at the end.

        The end is that of train_epoch: max_steps only stops a training, whose first steps are those of a longer one.
        """
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        fall = 1 - self.done_at(step) if self.learning_rate_decay == "linear" else 1.0
        return self.learning_rate * rise * fall
