"""How fast a training goes: the progress bar, and how long the rest will take."""

import time
from collections.abc import Callable
from typing import NamedTuple

from utils.bars import progress_bar

MEASURED_STEPS, MEASURED_SECONDS = 20, 10.0  # by which the pace is estimated: whichever comes first
FORWARD_SHARE = 1 / 3  # of a training step's time: its backward pass takes about twice as long


class PreviewPlan(NamedTuple):
    """The previews of a training: one every `every` steps, the first after `first_seconds` at the latest (None: not by the
    clock); each takes as much work as `network_calls` calls of the network for one picture."""

    every: int
    first_seconds: float | None
    network_calls: int


def pace_line(step_seconds: float, step: int, total_steps: int, batch_size: int, previews: PreviewPlan) -> str:
    """How long a step of `batch_size` pictures, the next preview and the whole training take, from `step` on."""
    drawing = previews.network_calls * FORWARD_SHARE * step_seconds / batch_size
    left = total_steps - step
    first = min(left, previews.every - step % previews.every) * step_seconds
    if previews.first_seconds is not None:
        first = min(first, max(previews.first_seconds, step_seconds))
    preview_num = -(-total_steps // previews.every) - step // previews.every
    return (
        f"Pace:    {step_seconds:.2g} s a step; the next picture after about {duration(first + drawing)}, "
        f"all {total_steps:,} steps after about {duration(left * step_seconds + preview_num * drawing)}"
    )


class ProgressBar:
    """The progress bar of a training: a context. It also measures the first steps, and prints once what follows from them.

    wait_for_device returns when the device has done what it was given; it is called twice. The first step is not measured:
    it allocates, and may compile. One that is not `visible` prints nothing.
    """

    def __init__(
        self,
        total_steps: int,
        step: int,
        batch_size: int,
        previews: PreviewPlan,
        visible: bool = True,
        wait_for_device: Callable[[], None] = lambda: None,
    ):
        self.bar = progress_bar(total_steps, "step", initial=step, visible=visible)
        self._total_steps, self._batch_size, self._previews = total_steps, batch_size, previews
        self._visible, self._wait_for_device = visible, wait_for_device
        self._measured_from: tuple[int, float] | None = None  # the step, and when it was done
        self._pace_printed = not visible
        self._warned: set[str] = set()
        self.back_to(step)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.bar.close()

    def update(self) -> None:
        """One more step was done."""
        self.bar.update()
        self._done += 1
        if not self._pace_printed:
            self._measure()

    def _measure(self) -> None:
        if self._measured_from is None:
            self._wait_for_device()
            self._measured_from = self._done, time.perf_counter()
            return
        steps, seconds = self._done - self._measured_from[0], time.perf_counter() - self._measured_from[1]
        if steps >= MEASURED_STEPS or seconds >= MEASURED_SECONDS:
            self._wait_for_device()
            self._pace_printed = True
            step_seconds = (time.perf_counter() - self._measured_from[1]) / steps
            self.bar.write(pace_line(step_seconds, self._done, self._total_steps, self._batch_size, self._previews))

    def back_to(self, step: int) -> None:
        """Counts and measures from `step` on."""
        self.bar.n = self._done = self._rate_step = step
        self._rate_clock = time.perf_counter()
        self._measured_from = None

    def pictures_per_second(self) -> float:
        """Since the last call."""
        clock = time.perf_counter()
        rate = (self._done - self._rate_step) / (clock - self._rate_clock)
        self._rate_step, self._rate_clock = self._done, clock
        return rate * self._batch_size

    def show(self, figures: dict[str, dict[str, float]], warnings: list[str]) -> None:
        """The loss and the speed in the groups of figures of a log line beside the bar; the warnings above it, each kind
        once (the log has all)."""
        train = figures.get("train", {})
        if "loss" in train:
            text = f"loss {train['loss']:.4f}, {train['pictures_per_second']:.0f} pictures/s"
            self.bar.set_postfix_str(text, refresh=False)
        for warning in warnings:
            kind = warning.partition(":")[0].rstrip("0123456789.e+- ")
            if self._visible and kind not in self._warned:
                self._warned.add(kind)
                self.bar.write(f"Warning: step {self._done:,}: {warning}")


def duration(seconds: float) -> str:
    """As people say it: 40 s, 17 min, 5 h, 3 days."""
    for unit, length, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < most * length:
            return f"{max(1, round(seconds / length))} {unit}"
    return f"{round(seconds / 86400):,} days"
