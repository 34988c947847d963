"""Work that goes on in a thread, while the caller does something else: what is written to the disk, above all."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Background:
    """Does one job at a time in a thread: a context, which ends when the last job is done.

    What went wrong with a job is raised when the next is handed over, by `wait`, or at the end.
    """

    def __enter__(self) -> "Background":
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._job: Future | None = None
        return self

    def do(self, job: Callable, *args: object) -> None:
        """Begins with `job(*args)` as soon as the job before is done, for which it waits."""
        self.wait()
        self._job = self._thread.submit(job, *args)

    def wait(self) -> None:
        """Until nothing is left to do."""
        if self._job is not None:
            job, self._job = self._job, None
            job.result()

    def __exit__(self, kind, error, trace) -> None:
        self._thread.shutdown()
        if kind is None:
            self.wait()
