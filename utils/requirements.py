"""Exits with 0 if this interpreter has what the requirements files named on the command line ask for, else says what it lacks.

Uses the standard library only, as it runs before anything is installed; so it knows just `name`, `name>=version` and, in
a file, `-r FILE`.
"""

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version


def release(text: str) -> tuple[int, ...]:
    """The numbers of a version: 2.10.0+cpu -> (2, 10, 0)."""
    return tuple(int(number) for number in re.match(r"[0-9.]*[0-9]", text)[0].split("."))


def lacking(requirements: str) -> list[str]:
    """The lines of a requirements file that are not met."""
    missing = []
    for line in requirements.splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, _, least = line.partition(">=")
        try:
            if release(version(name)) < release(least or "0"):
                missing.append(line)
        except PackageNotFoundError:
            missing.append(line)
    return missing


def read(path: str) -> str:
    """The lines of a requirements file, and of those that it includes."""
    lines = []
    for line in open(path, encoding="utf-8"):
        included = line.split("#")[0].strip().removeprefix("-r ")
        lines.append(read(os.path.join(os.path.dirname(path), included)) if line.startswith("-r ") else line)
    return "".join(lines)


if __name__ == "__main__":
    missing = [line for path in sys.argv[1:] for line in lacking(read(path))]
    if missing:
        sys.exit(f"{sys.executable} lacks {', '.join(missing)}")
