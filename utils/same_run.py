"""Whether a run may go on with other settings than it was started with."""

from pathlib import Path

from utils.config import differences
from utils.errors import RequestError
from utils.settings import Settings
from utils.untrusted import settings_from_json

# The blocks that make a run the run it is: with others of them, going on would be another training.
FIXED_BLOCKS = ("data", "model", "diffusion")


def check_same_run(settings: Settings, folder: Path, settings_json: str, source: Path) -> None:
    """RequestError if `settings` would make another training of the run in `folder`; what else changed is printed.

    settings_json: what the run was last started with, as it stands in the state `source`. The path of the pictures is free:
    whether they are the same is seen from the pictures.
    """
    before = settings_from_json(settings_json, source)
    other = differences(before, settings, FIXED_BLOCKS)
    if before.run.seed != settings.run.seed:
        other.append(f"run.seed: {before.run.seed} -> {settings.run.seed}")
    for name in ("student", "student_steps"):
        if (old := getattr(before.train, name)) != (new := getattr(settings.train, name)):
            other.append(f"train.{name}: {old} -> {new}")
    if other:
        raise RequestError(
            f"the run in {folder} has other settings ({'; '.join(other)}); choose another --save_dir, or the old settings"
        )
    changed = differences(before, settings, ("train",))
    if before.data.data_path != settings.data.data_path:
        changed.append(f"data.data_path: {before.data.data_path} -> {settings.data.data_path}")
    for line in changed:
        print(f"Changed since this run was last started: {line}")
