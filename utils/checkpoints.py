"""The files of a run: weights to share (safetensors, with their settings inside), and the state from which it goes on."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from diffusion import Guidance, SampleInfo
from utils.classes import Classes, classes_from
from utils.config import explain
from utils.errors import RequestError
from utils.files import atomic_write
from utils.hub_cache import hub_file
from utils.settings import Settings
from utils.untrusted import (
    State,
    check_shapes,
    check_state_dict,
    read_pt,
    read_safetensors,
    settings_from_json,
    shapes_of,
)
from utils.version import VERSION, note_newer

WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "trainer_state.pt"
PREVIOUS_FILE = "trainer_state.previous.pt"  # the state before it
LOG_FILE = "log.jsonl"
STATE_SUFFIXES = (".pt", ".pth")
MILESTONES = "milestones"  # the folder of those that are kept for good
PIPELINE_FILE = "diffusion_pytorch_model"  # the weights of a pipeline of diffusers, in its folder unet/
UNKNOWN_DATA = "unknown"  # the data_name where it is not said what a network was trained on
RUN_FILES = (WEIGHTS_FILE, STATE_FILE, PREVIOUS_FILE)  # every run has files of these names

# The parts of a training's state, as TrainerState.save writes them.
STATE_PARTS = {"settings": str, "step": int, "skipped": list, "data": str | None, "model": dict, "ema": dict, "optimizer": dict,
               "scaler": dict, "monitor": dict}  # fmt: skip
OLD_STATE_PARTS = {"monitor": "doctor"}  # what a part was called in older states


def model_name(path: Path) -> str:
    """What a model is called: as its file; or, as every run has files of the same names, as its folder or its repository on the
    Hub."""
    if path.name in RUN_FILES and (on_hub := hub_file(path)) is not None:
        return on_hub.repo.rpartition("/")[2]
    folder = path.absolute().parent
    if folder.name == MILESTONES:
        return f"{folder.parent.name}_{path.stem}"
    if path.name.startswith(PIPELINE_FILE) and folder.name == "unet":
        return folder.parent.name
    return folder.name if path.name in RUN_FILES else path.stem


def load_state(path: str | Path) -> dict:
    """Reads a training's state, on the CPU, without ever running code from it.

    RequestError if that cannot be done, or if it is not, bit for bit, what was written.
    """
    state = read_pt(Path(path))
    _check_state(state, Path(path))
    parts = {name: state[_written_name(state, name)] for name in STATE_PARTS}
    return parts | {"teacher": state.get("teacher")}  # which older states have not


def _check_state(state: dict, path: Path) -> None:
    """RequestError unless the parts of a training's state are there, are what they ought to be, and were not altered."""
    note_newer(state.get("version"), path)
    for name, kind in ((_written_name(state, name), kind) for name, kind in STATE_PARTS.items()):
        if name not in state or not isinstance(state[name], kind):
            what = f"a {type(state[name]).__name__}" if name in state else "missing"
            raise RequestError(f"{path} is no training state of this project: its {name} is {what}")
    if state["step"] < 0:
        raise RequestError(f"{path} is no training state of this project: it ends at step {state['step']}")
    for name in ("model", "ema"):
        check_state_dict(state[name], path)
    try:
        whole = state.pop("digest", None) == digest(state)
    except (RuntimeError, TypeError, ValueError):  # a stranger's state may be nested without end, or hold odd tensors
        whole = False
    if not whole:
        raise RequestError(f"{path} was altered or damaged: its checksum is not that of its content")


def _written_name(state: dict, name: str) -> str:
    """What the part `name` is called in `state`, which may be older."""
    old = OLD_STATE_PARTS.get(name, name)
    return name if name in state or old not in state else old


def digest(value: object) -> str:
    """A checksum of nested dictionaries, lists, tensors on the CPU and plain values: 32 hexadecimal digits."""
    total = hashlib.blake2b(digest_size=16)

    def take(part: object) -> None:
        if isinstance(part, Tensor):
            total.update(f"{part.dtype}{tuple(part.shape)}".encode())
            total.update(part.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
        elif isinstance(part, dict):
            total.update(f"dict{len(part)}".encode())
            for key, item in part.items():
                total.update(repr(key).encode())
                take(item)
        elif isinstance(part, list | tuple):
            total.update(f"list{len(part)}".encode())
            for item in part:
                take(item)
        else:
            total.update(repr(part).encode())

    take(value)
    return total.hexdigest()


class Checkpoint(NamedTuple):
    """A trained network: its state_dict, which `weights` those are ("ema" or "raw"), its settings, the steps it was trained,
    and the classes of its data, where it carries them."""

    state_dict: State
    weights: str
    settings: Settings
    step: int
    classes: Classes = Classes()

    @property
    def guidance(self) -> Guidance:
        """That of its default sampler."""
        return SampleInfo.parse(self.settings.sample.sample_info).guidance


def load_checkpoint(path: str | Path, weights: str = "ema") -> Checkpoint:
    """The "ema" or "raw" `weights` of a file of this project, and the settings under which they were trained.

    `path` is a model.safetensors (EMA weights) or a trainer_state.pt (both). RequestError if it is neither, is damaged, or does
    not hold what is asked for. `interop.open_checkpoint` reads other projects' files, too.
    """
    path = Path(path)
    if path.suffix in STATE_SUFFIXES:
        return checkpoint_of_state(read_pt(path), path, weights)
    state_dict, settings, step, classes = read_safetensors(path)
    refuse_raw(path, weights)
    if settings is None:
        raise RequestError(f"{path} carries no settings: it is no model.safetensors of this project")
    return Checkpoint(state_dict, weights, settings, step, classes)


def checkpoint_of_state(state: dict, path: Path, weights: str) -> Checkpoint:
    """The "ema" or "raw" `weights` of a training's state that `read_pt` read from `path`; refuses as `load_checkpoint`."""
    _check_state(state, path)
    state_dict, settings = state["ema" if weights == "ema" else "model"], settings_from_json(state["settings"], path)
    check_shapes(settings, shapes_of(state_dict), path)
    classes = classes_from(state.get("classes"), settings.model.num_classes, path)
    return Checkpoint(state_dict, weights, settings, state["step"], classes)


def refuse_raw(path: Path, weights: str) -> None:
    """RequestError if the "raw" `weights` of the model.safetensors `path` are asked for: it holds EMA weights only."""
    if weights == "raw":
        raise RequestError(
            f"{path} holds the EMA weights only; the raw ones are in the run's {STATE_FILE}: "
            f"--model_path FOLDER/{STATE_FILE}"
        )


def write_checkpoint(path: Path, weights: State, settings_json: str, step: int, classes: Classes) -> None:
    """Writes a model.safetensors: EMA weights and, in its metadata, the settings and the classes. Nothing in it can run."""
    metadata = {"settings": settings_json, "step": str(step), "weights": "ema", "format": "pt", "version": VERSION}
    if classes.names:
        metadata["classes"] = json.dumps(classes._asdict())
    with atomic_write(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary, metadata)


def add_tuned_times(path: Path, times: dict[str, list[int]], out: Path) -> None:
    """Writes the model.safetensors `path` to `out`, which may be the same, with these timesteps of samplers among its settings.

    Those that it holds of other samplers stay. RequestError if it carries no settings.
    """
    checkpoint = load_checkpoint(path)
    block = checkpoint.settings.model_dump()
    block["sample"]["tuned_times"] = checkpoint.settings.sample.tuned_times | times
    try:
        settings = Settings.model_validate(block)
    except ValidationError as error:
        raise RequestError(f"{path}: {explain(error, {}, str(path))}") from None
    write_checkpoint(out, checkpoint.state_dict, settings.model_dump_json(), checkpoint.step, checkpoint.classes)
