"""An unconditional or class-conditional UNet2DModel pipeline of diffusers, read as a checkpoint of this project.

diffusers itself is not needed.
"""

from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from interop.diffusers_flow import FLOW_SCHEDULER, FlowConfig, flow_block
from interop.diffusers_folder import WEIGHTS, PipelineFiles, Told, find_files, read_json, read_metadata, read_weights
from interop.diffusers_scheduler import SchedulerConfig, diffusion_block
from interop.diffusers_unet import UNetConfig, attention_heads, layout_of, model_block, picture_shape
from interop.diffusers_weights import CLASS_EMBEDDING, from_theirs, to_theirs
from interop.older_checkpoints import NOT_NAMED
from models import build_model
from utils.checkpoints import Checkpoint
from utils.classes import Classes, classes_from
from utils.config import explain
from utils.errors import RequestError
from utils.settings import Settings
from utils.untrusted import Shapes, State, load_weights, shapes_of

DATA_PATH = f"{NOT_NAMED}pipeline)"
TIME_LAYER = "time_embedding.linear_1.weight"
MIDDLE_ATTENTION = "mid_block.attentions.0."
LONGEST_NAME = 200
LARGEST_PATCH = 1024

Config = TypeVar("Config", bound=BaseModel)


def is_of_pipeline(path: Path) -> bool:
    """Whether the file `path` holds the weights of a UNet2DModel, by its name and by what lies beside it."""
    return path.name.startswith(f"{WEIGHTS}.") and (path.parent / "config.json").is_file()


def read_pipeline(source: str | Path, null_class: int | None = None, patch_size: int | None = None) -> Checkpoint:
    """The network and the diffusion of the pipeline in the folder or file `source`.

    null_class: which of its classes means no class; None: none does. patch_size: its pictures are folded by so much; None: by
    1. If `to_diffusers` wrote the pipeline, it says both itself. RequestError if the pipeline cannot be read, or under no
    settings is one of ours.
    """
    files = find_files(str(source))
    unet, _ = _read_config(files.unet, UNetConfig)
    if patch_size is not None and not 1 <= patch_size <= LARGEST_PATCH:
        raise RequestError(f"--patch_size {patch_size}: it must be from 1 to {LARGEST_PATCH}")
    told = read_metadata(files.weights)
    patch_size = patch_size or told.patch_size or 1
    learned = unet.out_channels == 2 * unet.in_channels
    blocks = {
        "model": model_block(unet, patch_size, str(files.unet)),
        "diffusion": _diffusion_block(files.scheduler, learned),
    }
    null_class, classes = _classes(unet, files, told, null_class)
    if unet.num_class_embeds is not None:
        blocks["model"]["num_classes"] = unet.num_class_embeds - (null_class is not None)
    settings = _settings(unet, blocks, files)
    theirs = read_weights(files.weights, _expected_shapes(unet, settings))
    ours = _converted(theirs, unet, settings, null_class)
    network = build_model(**settings.model_arguments())
    load_weights(network, ours, files.weights)
    return Checkpoint(dict(network.state_dict()), "ema", settings, 0, classes)


def _read_config(path: Path, kind: type[Config]) -> tuple[Config, object]:
    """The configuration in a JSON file, and the name of the class that it is of. RequestError, naming what is in the way."""
    content = read_json(path)
    class_name = content.get("_class_name")
    if kind is UNetConfig and class_name != "UNet2DModel":
        raise RequestError(f"{path}: {class_name} cannot be expressed here; a UNet2DModel can")
    # What begins with _ is of no layer; and some early files have a prefix before the names of their blocks.
    content = {key: _without_prefix(value) for key, value in content.items() if not key.startswith("_")}
    try:
        return kind.model_validate(content), class_name
    except ValidationError as error:
        raise RequestError(f"cannot be expressed here: {explain(error, {}, str(path))}") from None


def _diffusion_block(path: Path, learned: bool) -> dict[str, object]:
    """The diffusion block of the scheduler that the JSON file `path` configures. `learned`: see `diffusion_block`."""
    if read_json(path).get("_class_name") == FLOW_SCHEDULER:
        config, _ = _read_config(path, FlowConfig)
        return flow_block(config, learned, str(path))
    config, class_name = _read_config(path, SchedulerConfig)
    return diffusion_block(config, class_name, learned, str(path))


def _without_prefix(value: object) -> object:
    """Block types without the UNetRes of the first versions, which diffusers takes off too."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [item.removeprefix("UNetRes") for item in value]
    return value


def _classes(unet: UNetConfig, files: PipelineFiles, told: Told, null_class: int | None) -> tuple[int | None, Classes]:
    """Which class means no class, and what the others are called: as asked for, or as the file of the weights says."""
    if unet.num_class_embeds is None:
        if null_class is not None:
            raise RequestError(f"--null_class {null_class}: {files.unet} has no num_class_embeds; leave the option out")
        return None, Classes()
    null_class = told.null_class if null_class is None else null_class
    if null_class is not None and not 0 <= null_class < unet.num_class_embeds:
        raise RequestError(f"--null_class {null_class}: the classes of {files.unet} are 0 to {unet.num_class_embeds - 1}")
    if unet.num_class_embeds == 1 and null_class is not None:
        raise RequestError(f"--null_class {null_class}: {files.unet} has no other class")
    if null_class is None or null_class != told.null_class:
        return null_class, Classes()
    return null_class, classes_from(told.classes, unet.num_class_embeds - 1, files.weights)


def _settings(unet: UNetConfig, blocks: dict[str, dict[str, object]], files: PipelineFiles) -> Settings:
    """The settings under which `models.UNet` is that network. RequestError if they do not fit each other."""
    channels, size = picture_shape(unet, blocks["model"]["patch_size"])
    folder = files.unet.absolute().parent
    folder = folder.parent if folder.name == "unet" else folder
    name = "".join(letter if letter.isprintable() else "_" for letter in folder.name)
    steps = min(50, blocks["diffusion"]["timestep_num"])
    try:
        return Settings(
            data_name=name[:LONGEST_NAME] or "unknown",
            data={"data_path": DATA_PATH, "image_size": size, "image_channel": channels},
            sample={"sample_info": f"DDIM_{steps}_0p0"},
            **blocks,
        )
    except ValidationError as error:
        raise RequestError(f"{files.unet}: {explain(error, {}, str(files.unet))}") from None


def _expected_shapes(unet: UNetConfig, settings: Settings) -> Shapes:
    """What the weights of UNet2DModel are called, and their shapes, without the memory that they take."""
    with torch.device("meta"):
        weights = build_model(**settings.model_arguments()).state_dict()
    layout = layout_of(settings.model, settings.data)
    shapes = shapes_of(to_theirs(weights, layout, attention_heads(settings.model, layout)))
    if CLASS_EMBEDDING in shapes:
        shapes[CLASS_EMBEDDING] = (unet.num_class_embeds, shapes[CLASS_EMBEDDING][1])
    return {name: shape for name, shape in shapes.items() if unet.add_attention or not name.startswith(MIDDLE_ATTENTION)}


def _converted(theirs: State, unet: UNetConfig, settings: Settings, null_class: int | None) -> State:
    """Their weights as ours: what is only another order is put in our order, what is not there adds nothing."""
    layout = layout_of(settings.model, settings.data)
    heads = attention_heads(settings.model, layout)
    theirs = dict(theirs)
    if not unet.flip_sin_to_cos:  # sines first
        theirs[TIME_LAYER] = theirs[TIME_LAYER].roll(theirs[TIME_LAYER].shape[1] // 2, dims=1)
    if CLASS_EMBEDDING in theirs:
        theirs[CLASS_EMBEDDING] = _null_class_last(theirs[CLASS_EMBEDDING], null_class)
    if not unet.add_attention:  # an attention block of zeros adds nothing to its input
        width = unet.block_out_channels[-1]
        for part in ("group_norm", "to_q", "to_k", "to_v", "to_out.0"):
            theirs[f"{MIDDLE_ATTENTION}{part}.weight"] = torch.zeros(width, *([] if part == "group_norm" else [width]))
            theirs[f"{MIDDLE_ATTENTION}{part}.bias"] = torch.zeros(width)
    return from_theirs(theirs, layout, heads)


def _null_class_last(table: Tensor, null_class: int | None) -> Tensor:
    """The embeddings of the classes, (N, D), with that of no class as the last; the mean of all of them where there is none."""
    if null_class is None:
        return torch.cat([table, table.float().mean(dim=0, keepdim=True).to(table.dtype)])
    return torch.cat([table[:null_class], table[null_class + 1 :], table[null_class : null_class + 1]])
