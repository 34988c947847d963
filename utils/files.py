"""Files that are whole or absent: written beside their name, and moved over it."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError

from utils.errors import RequestError, reason_of

UMASK = os.umask(0)  # asked for by setting it, which would disturb other threads: once, at the start
os.umask(UMASK)
LEAST_ROOM = 2**20  # bytes: a disk with less than this counts as full


@contextmanager
def refuse_unwritable(path: str | Path) -> Iterator[None]:
    """Turns the system's refusal to write into a RequestError that names `path`."""
    try:
        yield
    except OSError as error:
        raise RequestError(f"cannot write {path}: {reason_of(error)}") from error
    except (SafetensorError, RuntimeError) as error:
        # torch's and safetensors' writers have errors of their own for what the system refused.
        if not isinstance(error, SafetensorError) and "inline_container" not in str(error):
            raise
        raise RequestError(f"cannot write {path}: {_why_not(Path(path).parent, error)}") from error


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; moves it over `path` when the body is done, and removes it if it failed.

    A kill at any instant leaves the old file or the new one. The folder is made if need be. RequestError where the file
    cannot be written, by a full disk for one.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with refuse_unwritable(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with open(temporary, "rb+") as file:  # for writing, or Windows refuses
                os.fsync(file.fileno())  # else a power cut may keep the new name and lose the content
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)  # as any new file: some writers make theirs for the owner alone
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _why_not(folder: Path, error: Exception) -> str:
    """Why torch or safetensors could not write into `folder`: its disk is full, or else what they say themselves."""
    if shutil.disk_usage(folder).free < LEAST_ROOM:
        return reason_of(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    return f"{' '.join(str(error).split())}; is there room on that disk, and may files be that large (ulimit -f)?"


def put_aside(paths: Sequence[Path]) -> list[Path]:
    """Renames those of `paths` that exist, as in NAME.1.png: the same free number for all. Returns their new names."""
    number = 1
    while any(path.with_suffix(f".{number}{path.suffix}").exists() for path in paths):
        number += 1
    return [path.replace(path.with_suffix(f".{number}{path.suffix}")) for path in paths if path.exists()]


def keep_other(paths: Sequence[Path], same: bool) -> None:
    """Before `paths` are written: puts what is there aside and says so, unless it is of the `same` request."""
    if not same and (kept := put_aside(paths)):
        print(f"Kept:    {', '.join(map(str, kept))}, of another request")


def check_writable(folder: Path, option: str) -> None:
    """RequestError, naming `option`, if no files can be made in `folder`, or the folder itself cannot. Makes nothing."""
    for place in (folder, *folder.parents):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # a name that is too long, for one
            raise RequestError(f"{option} {folder}: {reason_of(error)}") from None
        if not place.is_dir():
            raise RequestError(f"{option} {folder}: {place} is no folder; choose another place")
        if not os.access(place, os.W_OK | os.X_OK):
            raise RequestError(f"{option} {folder}: {place} cannot be written to; choose another place")
        break


@contextmanager
def exclusive(path: str) -> Iterator[None]:
    """Waits for the lock on the file at `path`, and removes the file when done. A process that dies gives it up."""
    with FileLock(path):
        try:
            yield
        finally:
            # Whoever waits for the file sees that it is gone (filelock 3.21). Windows refuses, and filelock removes it.
            with suppress(OSError):
                os.unlink(path)


@contextmanager
def folder_made(folder: str) -> Iterator[None]:
    """Makes `folder`, with its parents; if the body fails, removes those that it made and that are still empty."""
    made = []
    while not os.path.isdir(folder):
        made.append(folder)
        folder = os.path.dirname(folder)
    try:
        for place in reversed(made):
            os.makedirs(place, exist_ok=True)
        yield
    except BaseException:
        with suppress(OSError):
            for place in made:
                os.rmdir(place)
        raise
