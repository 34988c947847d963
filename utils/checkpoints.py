"""Weights to share (safetensors, with their settings inside) and the state from which a training goes on."""

import math
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn

from utils.config import differences, explain
from utils.ema import EMA
from utils.errors import RequestError
from utils.family import settings_of_weights
from utils.files import written_whole
from utils.settings import Settings
from utils.untrusted import (
    State,
    check_shapes,
    check_state_dict,
    load_weights,
    read_pt,
    read_safetensors,
    settings_from_json,
    shapes_of,
)

WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "trainer_state.pt"

# The blocks that make a run the run it is: with others of them, going on would be another training.
FIXED_BLOCKS = ("data", "model", "diffusion")


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
    state = read_pt(Path(path))
    _check_state(state, Path(path))
    return state


def _check_state(state: dict, path: Path) -> None:
    """RequestError unless the parts of a training's state are there, and are what they ought to be."""
    parts = {"settings": str, "step": int, "loss_sum": Tensor, "model": dict, "ema": dict, "optimizer": dict}
    for name, kind in parts.items():
        if not isinstance(state.get(name), kind):
            what = f"a {type(state[name]).__name__}" if name in state else "missing"
            raise RequestError(f"{path} is no training state of this project: its {name} is {what}")
    if state["step"] < 0 or state["loss_sum"].numel() != 1:
        raise RequestError(f"{path} is no training state of this project: it ends at step {state['step']}")
    for name in ("model", "ema"):
        check_state_dict(state[name], path)


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
    if path.suffix in (".pt", ".pth"):
        state = read_pt(path)
        if "settings" in state:
            _check_state(state, path)
            weights, settings = state["ema" if which == "ema" else "model"], settings_from_json(state["settings"], path)
            check_shapes(settings, shapes_of(weights), path)
            return Checkpoint(weights, which, settings, state["step"])
        if "unet_model" not in state:
            raise RequestError(f"{path} holds neither a training state of this project nor weights named unet_model")
        weights, settings, step, which = state["unet_model"], None, 0, "raw"
        check_state_dict(weights, path)
    else:
        weights, settings, step = read_safetensors(path)
        if which == "raw":
            raise RequestError(
                f"{path} holds the EMA weights only; the raw ones are in the run's {STATE_FILE}: "
                f"--model_path FOLDER/{STATE_FILE}"
            )
    if settings is not None:
        return Checkpoint(weights, which, settings, step)
    stated = {"image_size": image_size, "image_channel": image_channel, "timestep_num": timestep_num}
    if None in stated.values():
        raise RequestError(
            f"{path} carries no settings: --image_size, --image_channel and --training_timestep_num must say what it was "
            "trained for"
        )
    try:
        settings = settings_of_weights(weights, **stated)
    except ValidationError as error:
        raise RequestError(f"{path}: {explain(error, {}, str(path))}") from None
    check_shapes(settings, shapes_of(weights), path)
    return Checkpoint(weights, which, settings, 0)
