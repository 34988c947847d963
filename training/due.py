"""What is due after a step of training, beside the next one."""

import time
from collections.abc import Callable
from typing import NamedTuple

FIRST_SECONDS = 60.0  # until the first preview and state that go by the clock
LARGEST_SHARE = 0.05  # of the time that these may take


class Due(NamedTuple):
    """What is due: a line of the log, a preview, a saved state, and whether that state is kept for good."""

    log: bool
    preview: bool
    save: bool
    keep: bool


class Intervals(NamedTuple):
    """The steps between two lines of the log, previews, saved states, and states kept for good (None: there are none)."""

    log: int
    preview: int
    save: int
    keep: int | None = None


def due_at(
    step: int, intervals: Intervals, *, is_last: bool = False, is_stopping: bool = False, is_overdue: bool = False
) -> Due:
    """What is due when `step` steps are done (1, 2, ...).

    The last step of a training draws and saves, and so does one at which these are `is_overdue` by the clock. A step at
    which a signal stops the training saves.
    """
    keep = intervals.keep is not None and step % intervals.keep == 0
    return Due(
        log=step % intervals.log == 0,
        preview=step % intervals.preview == 0 or is_last or (is_overdue and not is_stopping),
        save=step % intervals.save == 0 or keep or is_last or is_stopping or is_overdue,
        keep=keep,
    )


class PreviewTimer:
    """Says when a preview and a saved state are overdue, because the last were `minutes` ago (None: they never are).

    The first interval is a minute at most, and each is twice the one before until it is `minutes`: a run shows and keeps
    something early. They come less often where they take long: at most 5 % of the time.
    """

    def __init__(self, minutes: float | None, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._minutes = minutes
        self._interval = first_interval(minutes)
        self._since = self._asked = clock()

    def is_overdue(self) -> bool:
        """To be asked after each step."""
        self._asked = self._clock()
        return self._interval is not None and self._asked - self._since >= self._interval

    def restart(self) -> None:
        """Since it was asked, a preview was drawn and a state saved."""
        self._since = self._clock()
        if self._minutes is not None and self._interval is not None:
            longest, taken = 60 * self._minutes, self._since - self._asked
            self._interval = max(min(2 * self._interval, longest), taken / LARGEST_SHARE)


def first_interval(minutes: float | None) -> float | None:
    """The first interval of a PreviewTimer, in seconds."""
    return None if minutes is None else min(FIRST_SECONDS, 60 * minutes)
