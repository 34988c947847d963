"""Any checkpoint that can be drawn from, whoever wrote it, as one thing: `utils.checkpoints.Checkpoint`."""

from pathlib import Path

from pydantic import ValidationError

from interop.diffusers_pipeline import is_of_pipeline, read_pipeline
from interop.locate import find_model
from interop.older_checkpoints import STATE_DICT, settings_of_weights
from utils.checkpoints import STATE_SUFFIXES, Checkpoint, checkpoint_of_state, refuse_raw
from utils.config import explain
from utils.errors import RequestError
from utils.shapes import Size, size_text
from utils.untrusted import State, check_shapes, check_state_dict, read_pt, read_safetensors, shapes_of


def open_checkpoint(
    path: str | Path,
    weights: str = "ema",
    *,
    image_size: Size | None = None,
    image_channel: int | None = None,
    timestep_num: int | None = None,
) -> Checkpoint:
    """The "ema" or "raw" `weights` of a file, and the settings under which they were trained.

    `path` is a model.safetensors or a trainer_state.pt of this project, the folder of one, hf:USER/REPO[/FILE] (see
    `find_model`), a pipeline of diffusers, or a .pt of the older scripts ("epoch" and "unet_model", raw weights). For one that
    carries no settings, the last three arguments must say what it was trained for; for one that does, they are checked.
    RequestError if the file is none of these, is damaged, does not hold what is asked for, or was trained for something else.
    """
    path = find_model(path)
    stated = {"image_size": image_size, "image_channel": image_channel, "timestep_num": timestep_num}
    if is_of_pipeline(path):
        refuse_raw(path, weights)
        checkpoint = read_pipeline(path)
    elif path.suffix in STATE_SUFFIXES:
        state = read_pt(path)
        if "settings" not in state and STATE_DICT in state:
            check_state_dict(state[STATE_DICT], path)
            return _without_settings(state[STATE_DICT], "raw", path, stated)
        checkpoint = checkpoint_of_state(state, path, weights)
    else:
        state_dict, settings, step, classes = read_safetensors(path)
        refuse_raw(path, weights)
        if settings is None:
            return _without_settings(state_dict, weights, path, stated)
        checkpoint = Checkpoint(state_dict, weights, settings, step, classes)
    _check_stated(checkpoint, path, stated)
    return checkpoint


def _check_stated(checkpoint: Checkpoint, path: Path, stated: dict[str, Size | None]) -> None:
    """RequestError unless the checkpoint was trained for what is stated of it."""
    carried = {
        "image_size": checkpoint.settings.data.image_size,
        "image_channel": checkpoint.settings.data.image_channel,
        "timestep_num": checkpoint.settings.diffusion.timestep_num,
    }
    for name, value in stated.items():
        if value not in (None, carried[name]):
            option = "training_timestep_num" if name == "timestep_num" else name
            given, trained = size_text(value), size_text(carried[name])
            raise RequestError(f"--{option} {given}: {path} was trained with {trained}; leave the option out")


def _without_settings(state_dict: State, weights: str, path: Path, stated: dict[str, Size | None]) -> Checkpoint:
    """Weights alone, with the settings that their shapes and the stated values make known."""
    if None in stated.values():
        raise RequestError(
            f"{path} carries no settings: --image_size, --image_channel and --training_timestep_num must say what it was "
            "trained for"
        )
    try:
        settings = settings_of_weights(state_dict, **stated)
    except ValidationError as error:
        raise RequestError(f"{path}: {explain(error, {}, str(path))}") from None
    check_shapes(settings, shapes_of(state_dict), path)
    return Checkpoint(state_dict, weights, settings, 0)
