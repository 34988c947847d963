"""Weights to share (safetensors, with their settings inside) and the state from which a training goes on."""

import json
import math
import os
import pickle
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from utils.config import differences, explain
from utils.ema import EMA
from utils.errors import RequestError
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
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise RequestError(f"the state {path} cannot be read: {error.strerror or error}") from None
    except UNREADABLE as error:
        reason = str(error).split("\n")[0]
        raise RequestError(
            f"{path} is no whole training state of this project ({type(error).__name__}: {reason})"
        ) from None
    if not isinstance(state, dict) or "settings" not in state:
        raise RequestError(f"{path} is no training state of this project: it holds no settings")
    return state


def load_checkpoint(path: str | Path, which: str) -> tuple[State, Settings, int]:
    """The `which` ("ema" or "raw") weights in a file, its settings, and the steps it was trained.

    `path` is a model.safetensors (EMA weights) or a trainer_state.pt (both). RequestError if it is neither, is damaged, or
    does not hold what is asked for.
    """
    path = Path(path)
    if not path.is_file():
        raise RequestError(f"there is no checkpoint {os.path.abspath(path)}")
    if path.suffix == ".pt":
        state = load_state(path)
        return state["ema" if which == "ema" else "model"], settings_from_json(state["settings"], path), state["step"]
    if which == "raw":
        raise RequestError(
            f"{path} holds the EMA weights only; the raw ones are in the run's {STATE_FILE}: --model_path FOLDER/{STATE_FILE}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise RequestError(f"{path} is no whole safetensors file: {error}") from None
    if "settings" not in metadata:
        raise RequestError(f"{path} carries no settings of this project, so the network cannot be built from it")
    return weights, settings_from_json(metadata["settings"], path), int(metadata.get("step", 0))


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
