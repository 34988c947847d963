"""Reading what strangers may have written: weights (safetensors, with their settings inside) and a training's state."""

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from utils.config import explain
from utils.errors import RequestError
from utils.family import settings_of_weights
from utils.settings import Settings

WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "trainer_state.pt"
PREVIOUS_FILE = "trainer_state.previous.pt"  # the state before it
MILESTONES = "milestones"  # the folder of those that are kept for good
State = dict[str, Tensor]

# What torch.load raises for bytes that it did not write.
UNREADABLE = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError)


def load_state(path: str | Path) -> dict:
    """Reads a training's state, on the CPU, without ever running code from it.

    RequestError if that cannot be done, or if it is not, byte for byte, what was written.
    """
    state = _read_pt(Path(path))
    if "settings" not in state:
        raise RequestError(f"{path} is no training state of this project: it holds no settings")
    _check_digest(state, path)
    return state


def _check_digest(state: dict, path: str | Path) -> None:
    if state.pop("digest", None) != digest(state):
        raise RequestError(f"{path} was altered or damaged: its checksum is not that of its content")


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
    """A trained network: its weights, which ones they are ("ema" or "raw"), its settings, the steps it was trained."""

    weights: State
    which: str
    settings: Settings
    step: int


def load_checkpoint(
    path: str | Path,
    which: str = "ema",
    *,
    image_size: int | None = None,
    image_channel: int | None = None,
    timestep_num: int | None = None,
) -> Checkpoint:
    """The `which` ("ema" or "raw") weights of a file, and the settings under which they were trained.

    `path` is a model.safetensors (EMA weights), a trainer_state.pt (both), or a .pt of the family's older scripts ("epoch"
    and "unet_model", raw weights); for a file that carries no settings, the three last arguments must say what it was
    trained for. RequestError if it is none of these, is damaged, or does not hold what is asked for.
    """
    path = Path(path)
    if not path.is_file():
        raise RequestError(f"there is no checkpoint {os.path.abspath(path)}")
    if path.suffix == ".pt":
        state = _read_pt(path)
        if "settings" in state:
            _check_digest(state, path)
            weights = state["ema" if which == "ema" else "model"]
            return Checkpoint(weights, which, settings_from_json(state["settings"], path), state["step"])
        weights, metadata, which = state.get("unet_model"), {}, "raw"
        if not isinstance(weights, dict) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
            raise RequestError(f"{path} holds neither a training state of this project nor weights named unet_model")
    else:
        weights, metadata = _read_safetensors(path)
        if which == "raw":
            raise RequestError(
                f"{path} holds the EMA weights only; the raw ones are in the run's {STATE_FILE}: "
                f"--model_path FOLDER/{STATE_FILE}"
            )
    if "settings" in metadata:
        return Checkpoint(weights, which, settings_from_json(metadata["settings"], path), int(metadata.get("step", 0)))
    stated = {"image_size": image_size, "image_channel": image_channel, "timestep_num": timestep_num}
    if None in stated.values():
        raise RequestError(
            f"{path} carries no settings: --image_size, --image_channel and --training_timestep_num must say what it was "
            "trained for"
        )
    try:
        return Checkpoint(weights, which, settings_of_weights(weights, **stated), 0)
    except ValidationError as error:
        raise RequestError(f"{path}: {explain(error, {}, str(path))}") from None


def _read_pt(path: Path) -> dict:
    """The mapping in a .pt file, by torch's restricted reader. RequestError if it is damaged, or holds anything else."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from None
    except UNREADABLE as error:
        reason = str(error).split("\n")[0]
        raise RequestError(f"{path} is no whole checkpoint ({type(error).__name__}: {reason})") from None
    if not isinstance(content, dict):
        raise RequestError(f"{path} is no checkpoint: it holds a {type(content).__name__}")
    return content


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    """The tensors and the metadata of a safetensors file. RequestError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118 (no dict)
    except (SafetensorError, OSError) as error:
        raise RequestError(f"{path} is no whole safetensors file: {error}") from None


def load_weights(model: nn.Module, weights: State, source: str | Path) -> None:
    """Loads all of `weights` or nothing. RequestError names the first tensors that differ."""
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != found:
        names = [name for name in expected | found if expected.get(name) != found.get(name)]
        shown = ", ".join(f"{name} {found.get(name, 'missing')} for {expected.get(name, 'none')}" for name in names[:3])
        raise RequestError(
            f"{source} does not fit the network that its settings describe: {len(names)} tensors differ: {shown}"
        )
    model.load_state_dict(weights)


def settings_from_json(text: str, path: Path) -> Settings:
    """The settings that travel in the file `path`. RequestError if they are damaged or of another project."""
    try:
        return Settings.model_validate(json.loads(text))
    except (ValidationError, json.JSONDecodeError, TypeError) as error:
        why = explain(error, {}, str(path)) if isinstance(error, ValidationError) else str(error)
        raise RequestError(f"the settings inside {path} cannot be used: {why}") from None
