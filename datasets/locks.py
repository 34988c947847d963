"""One process at a time: the ranks of a run must not each decode or download the same set."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exclusive(path: str) -> Iterator[None]:
    """Waits for the lock on the file at `path`, which stays behind, empty. A process that dies gives it up."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
