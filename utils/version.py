"""The version: printed by the scripts, carried by checkpoints, and named in CHANGELOG.md and CITATION.cff."""

import re
from pathlib import Path

VERSION = "0.4.0"


def note_newer(written_by: object, path: str | Path) -> None:
    """Says so in one line if the file `path` was written by a newer version than this one.

    No refusal: it may well be readable, and if it is not, what follows says why. `written_by` is what the file claims: a
    text such as 0.4.0; None, or anything else, for a file of before there were versions, or a stranger's.
    """
    if not isinstance(written_by, str) or not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}", written_by):
        return
    theirs, ours = (tuple(map(int, version.split("."))) for version in (written_by, VERSION))
    if theirs > ours:
        print(f"Note:    {path} was written by version {written_by}, and this is {VERSION}: a newer one reads it better")
