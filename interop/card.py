"""A model card beside a model: README.md in the form of the Hugging Face Hub, so that its folder can be uploaded as it is."""

from collections.abc import Sequence
from pathlib import Path

from interop.card_text import MARK, card_text
from interop.checkpoints import open_checkpoint
from interop.figures import find_records
from interop.locate import find_model
from utils.checkpoints import WEIGHTS_FILE, Checkpoint, model_name
from utils.classes import Classes
from utils.errors import RequestError, one_line
from utils.files import atomic_write
from utils.hub_cache import hub_file
from utils.untrusted import settings_from_json

CARD_FILE = "README.md"
RESULTS = Path("results")  # where test_solver.py leaves its records, unless it is told otherwise
EXPORTS = (".safetensors", ".onnx", ".pt2")


def write_card(
    folder: Path,
    name: str,
    checkpoint: Checkpoint,
    *,
    weights: Path | None = None,
    files: Sequence[str] = (),
    record_folders: Sequence[Path] = (RESULTS,),
) -> Path:
    """Writes the card of the model `name` into `folder`, and returns its path.

    `checkpoint`: its settings, steps and classes; of the weights only the number counts, and they may be left out. `files` are
    the names of its files in the folder, beside those that are called NAME or model. Records of `weights`, the file that was
    measured, are looked for in the folder and in `record_folders`. A README.md that is none of this model's cards is left
    alone: the card is then NAME.README.md.
    """
    path, name = folder / CARD_FILE, one_line(name)
    mark = f"{MARK} {name}:"
    if path.exists() and mark not in path.read_text(encoding="utf-8", errors="replace")[:1000]:
        path = folder / f"{name}.{CARD_FILE}"
    found = [other.name for other in sorted(folder.glob("*")) if other.suffix in EXPORTS and other.stem in (name, "model")]
    records = [] if weights is None else find_records(weights, [folder, *record_folders])
    for_diffusers = (folder / "model_index.json").is_file()
    sheet = _newest_sheet(folder, checkpoint.step)
    text = card_text(name, checkpoint, list(dict.fromkeys([*files, *found])), for_diffusers, records, sheet)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _newest_sheet(folder: Path, step: int) -> str | None:
    """The newest sheet of samples of the run in `folder` that is not later than `step`, by its path from there."""
    sheets = [path for path in folder.glob("samples/step_*.png") if path.stem[5:].isdecimal() and int(path.stem[5:]) <= step]
    return f"samples/{max(sheets, key=lambda path: int(path.stem[5:])).name}" if sheets else None


def write_run_card(state: dict, folder: Path) -> None:
    """The card of the run in `folder`, as its model.safetensors is by now; `state` is what that was written from."""
    path = folder / WEIGHTS_FILE
    settings = settings_from_json(state["settings"], path)
    checkpoint = Checkpoint(state["ema"], "ema", settings, state["step"], Classes(**state["classes"]))
    write_card(folder, folder.name, checkpoint, weights=path)


def run(model: str, records: list[str]) -> list[Path]:
    """Writes the card of `model`, a file or a folder, with the figures of its records in the folders `records`."""
    path = find_model(model)
    if hub_file(path) is not None:
        raise RequestError(f"{model} lies in the Hub's cache: a card is written beside a file of your own")
    named = {"weights": path, "files": [path.name], "record_folders": [Path(folder) for folder in records]}
    return [write_card(path.parent, model_name(path), open_checkpoint(path), **named)]
