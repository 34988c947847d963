"""Weights to share (safetensors, with their settings inside) and the state from which a training goes on."""

import json
import math
import os
import pickle
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from utils.config import differences, explain
from utils.ema import EMA
from utils.errors import RequestError
from utils.family import settings_of_weights
from utils.files import written_whole
from utils.settings import Settings

WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "trainer_state.pt"
State = dict[str, Tensor]

# The blocks that make a run the run it is: with others of them, going on would be another training.
FIXED_BLOCKS = ("data", "model", "diffusion")
# What torch.load raises for bytes that it did not write.
UNREADABLE = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError, AttributeError)


class TrainerState:
    """A training in progress: everything that its next step depends on, beside the settings and the data.

    model: the raw weights; ema: their average, in a network of its own; optimizer; step: how many were done;
    loss_sum: of the steps since the last line of the log, on the device.
    """

    def __init__(self, settings: Settings, model: nn.Module, ema: EMA, optimizer: torch.optim.Optimizer):
        self.settings = settings
        self.model = model
        self.ema = ema
        self.optimizer = optimizer
        self.step = 0
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=next(model.parameters()).device)

    def take_mean_loss(self, steps: int) -> float:
        """The mean loss of the last `steps` steps, and a fresh start. RequestError if it is not finite."""
        mean = (self.loss_sum / steps).item()
        self.loss_sum.zero_()
        if not math.isfinite(mean):
            raise RequestError(
                f"the loss is {mean} at step {self.step}: lower train.learning_rate or train.grad_clip; "
                "the last checkpoint is from before, and the same command goes on from it"
            )
        return mean

    def save(self, folder: Path) -> None:
        """Writes trainer_state.pt, from which a training goes on, and model.safetensors, to draw from and to share.

        The second holds the EMA weights and, in its metadata, the settings: all that drawing needs, nothing that can run.
        """
        state = {
            "settings": self.settings.model_dump_json(),
            "step": self.step,
            "loss_sum": self.loss_sum.cpu(),
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with written_whole(folder / STATE_FILE) as temporary:
            torch.save(state, temporary)
        metadata = {"settings": state["settings"], "step": str(self.step), "weights": "ema", "format": "pt"}
        weights = {name: tensor.cpu().contiguous() for name, tensor in state["ema"].items()}
        with written_whole(folder / WEIGHTS_FILE) as temporary:
            save_file(weights, temporary, metadata)

    def find(self, folder: Path, resume: str) -> bool:
        """Goes on from the run in `folder`, if there is one; says whether there was.

        RequestError, with nothing changed, if `resume` is "never" and there is a run; or if the run's network,
        diffusion, data or seed are others: the differences are printed.
        """
        path = folder / STATE_FILE
        present = [name for name in (STATE_FILE, WEIGHTS_FILE) if (folder / name).exists()]
        if present and (resume == "never" or not path.exists()):
            raise RequestError(
                f"{folder} holds {present[0]} of an earlier run; choose another --save_dir, or move it away"
            )
        if not present:
            return False
        state = load_state(path)
        before = settings_from_json(state["settings"], path)
        other = differences(before, self.settings, FIXED_BLOCKS)
        if before.run.seed != self.settings.run.seed:
            other.append(f"run.seed: {before.run.seed} -> {self.settings.run.seed}")
        if other:
            raise RequestError(
                f"the run in {folder} has other settings ({'; '.join(other)}); choose another --save_dir, or the old settings"
            )
        for line in differences(before, self.settings, ("train",)):
            print(f"Changed since this run began: {line}")
        load_weights(self.model, state["model"], path)
        load_weights(self.ema.model, state["ema"], path)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.loss_sum += state["loss_sum"].to(self.loss_sum.device)
        return True


def load_state(path: str | Path) -> dict:
    """Reads a training's state, on the CPU, without ever running code from it. RequestError if that cannot be done."""
    state = _read_pt(Path(path))
    if "settings" not in state:
        raise RequestError(f"{path} is no training state of this project: it holds no settings")
    return state


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
