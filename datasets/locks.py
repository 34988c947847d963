"""One process at a time: the ranks of a run must not each decode or download the same set."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def exclusive(path: str) -> Iterator[None]:
    """Waits for the lock on the file at `path`, and removes the file when done. A process that dies gives it up."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                break
        os.close(handle)  # its last owner removed it while this one waited: the lock is a new file now
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)  # before it is given up: whoever waits for it sees that it is gone
        os.close(handle)
