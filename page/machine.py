"""The one device that all visitors share: a job at a time, each watched by its visitor and stopped within a step."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from page.refusals import refused

Tell = Callable[[object], None]  # what a job calls at each step, with what is to be seen of it
Job = Callable[[Tell], object]


def adding_up(tell: Tell) -> Callable[[int], None]:
    """Tells how much was done in all, each time that so much more was."""
    done = 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        tell(done)

    return advance


class Stopped(Exception):
    """Raised within a job whose visitor does not want it any more, or is gone."""


class _Watched:
    """What a job told last, for the one who watches it."""

    def __init__(self, job: Job):
        self._job = job
        self._changed = threading.Condition()
        self._told: object | None = None
        self._stop = False
        self._done = False
        self._error: BaseException | None = None

    def run(self) -> None:
        """The job, in the machine's thread."""
        try:
            if self._stop:
                raise Stopped
            self._job(self._tell)
        except torch.OutOfMemoryError:
            self._error = refused("no_memory")
        except BaseException as error:  # raised again where it is watched
            self._error = error
        with self._changed:
            self._done = True
            self._changed.notify()

    def _tell(self, what: object) -> None:
        if self._stop:
            raise Stopped
        with self._changed:
            self._told = what
            self._changed.notify()

    def stop(self) -> None:
        self._stop = True

    def watch(self) -> Iterator[object]:
        """What is told, but only the newest each time it is asked for; ends with the job, whose exception is raised."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._told is not None or self._done)
                told, self._told = self._told, None
            if told is None:
                break
            yield told
        if self._error is not None:
            raise self._error


class Machine:
    """Runs jobs one after the other in one thread, so that neither the device nor its memory is shared.

    A visitor, who is named by a string, has at most one job: a new one stops the old.
    """

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="machine")
        self._jobs: dict[str, _Watched] = {}
        self._lock = threading.Lock()

    def watch(self, visitor: str, job: Job) -> Iterator[object]:
        """Runs `job(tell)` and yields what it tells, the newest each time.

        The job's exceptions are raised here. When this generator is closed, or `stop` is called, `tell` raises Stopped.
        """
        watched = _Watched(job)
        with self._lock:
            old, self._jobs[visitor] = self._jobs.get(visitor), watched
        if old is not None:
            old.stop()
        self._thread.submit(watched.run)
        try:
            yield from watched.watch()
        finally:
            watched.stop()
            with self._lock:
                if self._jobs.get(visitor) is watched:
                    del self._jobs[visitor]

    def stop(self, visitor: str) -> None:
        """Has the visitor's job, if there is one, end at its next step."""
        with self._lock:
            watched = self._jobs.get(visitor)
        if watched is not None:
            watched.stop()

    def stop_all(self, prefix: str) -> None:
        """Has all jobs end whose visitors' names begin so."""
        for visitor in list(self._jobs):
            if visitor.startswith(prefix):
                self.stop(visitor)

    @property
    def busy(self) -> int:
        """How many jobs are running or waiting."""
        return len(self._jobs)
