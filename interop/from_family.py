"""`from_family`: a checkpoint of a related project as a model.safetensors of this one, with which everything here works."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from interop import improved_diffusion, lucidrains
from interop.card import write_card
from interop.locate import find_model
from interop.older_checkpoints import STATE_DICT, settings_of_weights
from utils.checkpoints import STATE_SUFFIXES, Checkpoint, write_checkpoint
from utils.config import explain, with_overrides
from utils.errors import RequestError
from utils.files import check_writable
from utils.settings import Settings
from utils.shapes import Size
from utils.untrusted import State, check_shapes, check_state_dict, read_pt, read_safetensors, shapes_of

FAMILY = "down_blocks.0.0.weight"  # the entrance, as this project and the older scripts call it
OURS = ("settings", "optimizer", "ema")  # the parts of this project's own trainer_state.pt
KNOWN = (
    "this project's older scripts (epoch, unet_model), improved-diffusion and guided-diffusion (input_blocks.…), and "
    "denoising-diffusion-pytorch (ema_model.…)"
)


class Found(NamedTuple):
    """What a file holds: its weights by this project's names, "ema" or "raw", and the settings that they tell."""

    state_dict: State
    weights: str
    settings: Settings


def run(
    file: str, out: str, image_size: Size, image_channel: int, training_timestep_num: int, overrides: list[str]
) -> list[Path]:
    """Writes the network of `file` to `out`, and a card beside it.

    Weights tell their widths and depths, but not their heads, nor their schedule: `overrides` say what is otherwise than
    assumed, as in diffusion.beta_schedule=linear. RequestError if the file is none of `KNOWN`, or holds a network that this
    project's UNet is not.
    """
    path, out = find_model(file), Path(out)
    if out.suffix != ".safetensors":
        raise RequestError(f"{out}: the file's name must end with .safetensors")
    check_writable(out.absolute().parent, "OUT.safetensors")
    stated = {"image_size": image_size, "image_channel": image_channel, "timestep_num": training_timestep_num}
    content = _content(path)
    try:
        found = _read(content, path, stated)
    except ValidationError as error:
        raise RequestError(f"{path}: {explain(error, {}, str(path))}") from None
    settings = with_overrides(found.settings, overrides)
    check_shapes(settings, shapes_of(found.state_dict), path)
    model, diffusion = settings.model, settings.diffusion
    heads = f"{model.num_heads} heads" if model.num_heads else f"heads of {model.head_channels} channels"
    print(f"Network: {heads}, {model.norm_groups} groups of normalisation: not told by the weights, as what follows")
    print(f"Assumed: {diffusion.beta_schedule} schedule, {diffusion.objective}, variance {diffusion.variance}; else --set")
    checkpoint = Checkpoint(found.state_dict, found.weights, settings, step=0)
    write_checkpoint(out, found.state_dict, settings.model_dump_json(), checkpoint.step, checkpoint.classes)
    return [out, write_card(out.absolute().parent, out.stem, checkpoint, files=[out.name])]


def _content(path: Path) -> Mapping[str, object]:
    """What the file holds, by name."""
    if path.suffix in STATE_SUFFIXES:
        return read_pt(path)
    weights, settings, *_ = read_safetensors(path)
    if settings is not None:
        raise RequestError(f"{path} is a model of this project already: --model_path {path}")
    return weights


def _read(content: Mapping[str, object], path: Path, stated: dict[str, int]) -> Found:
    """Which of the projects the file is from, by the names in it, and what it holds."""
    if all(name in content for name in OURS):
        raise RequestError(f"{path} is a training state of this project already: --model_path {path}")
    if STATE_DICT in content or FAMILY in content:
        weights = content.get(STATE_DICT, content)
        check_state_dict(weights, path)
        return Found(weights, "raw", settings_of_weights(weights, **stated))
    if lucidrains.is_theirs(content):
        raise lucidrains.refusal(content, path)
    if improved_diffusion.is_theirs(content):
        check_state_dict(content, path)
        return Found(*improved_diffusion.converted(content, path, stated))
    if "conv_in.weight" in content:
        raise RequestError(f"{path} holds a UNet2DModel of diffusers: python -m interop from_diffusers FOLDER OUT.safetensors")
    names = ", ".join(sorted(map(str, content))[:4])
    raise RequestError(f"{path} is from none of the projects that can be read, {KNOWN}: it holds {names}")
