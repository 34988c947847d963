"""Progress bars: one kind for all that takes time, and what Ctrl-C says while one is shown."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

PIPE_SECONDS = 30.0  # between two lines in a file or a pipe, and before the first


class _Lines(tqdm):
    """A bar for a file or a pipe: a line of its own every half minute, and none of what is done sooner."""

    @staticmethod
    def status_printer(file):
        return lambda text: print(text, file=file, flush=True)

    def refresh(self, nolock=False, lock_args=None):
        if time.time() - self.last_print_t >= self.mininterval:
            super().refresh(nolock=nolock, lock_args=lock_args)

    def clear(self, nolock=False):
        """Nothing: lines stay."""

    def close(self):
        if not self.disable and self.last_print_t > self.start_t:
            self.display()
        self.last_print_t = 0.0  # so that tqdm does not end the line a second time
        super().close()


def progress_bar(
    total: int | None, unit: str, *, initial: int = 0, title: str | None = None, visible: bool = True
) -> tqdm:
    """A tqdm bar on stderr, a context, of `total` units, of which `initial` are done; its `update(n)` is told of n more.

    Where stderr is no terminal it is a line every 30 seconds at the most. With `total` it says how long the rest takes; None
    is for a server that does not say.
    """
    options = {"total": total, "unit": unit, "initial": initial, "desc": title, "disable": not visible}
    scaled = {"unit_scale": (total or 0) >= 100_000 or unit == "B"}
    if sys.stderr is not None and sys.stderr.isatty():
        return tqdm(**options, **scaled, mininterval=0.5)
    patience = {"mininterval": PIPE_SECONDS, "maxinterval": PIPE_SECONDS, "delay": PIPE_SECONDS}
    return _Lines(**options, **scaled, **patience)


@contextmanager
def interrupt_says(line: str) -> Iterator[None]:
    """Ctrl-C within ends the script, see `run_script`, with `line`, which says what the same command would do next."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(line) from None
