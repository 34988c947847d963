"""Where a file of the Hugging Face Hub lies in its cache: models--USER--REPO/snapshots/COMMIT/FILE."""

from pathlib import Path
from typing import NamedTuple


class HubFile(NamedTuple):
    """repo: USER/REPO; file: its path in the repository."""

    repo: str
    file: str

    def __str__(self) -> str:
        """As --model_path takes it."""
        return f"hf:{self.repo}/{self.file}"


def hub_file(path: Path) -> HubFile | None:
    """What the file at `path` is called on the Hub, if it lies in a cache of it."""
    parts = path.absolute().parts
    for index in range(len(parts) - 3, 0, -1):
        repo = parts[index - 1].split("--")
        if parts[index] == "snapshots" and repo[0] == "models" and len(repo) > 1:
            return HubFile("/".join(repo[1:]), "/".join(parts[index + 2 :]))
    return None
