"""Checkpoints of improved-diffusion (OpenAI): its UNetModel by the names of ours, of which it is the ancestor.

guided-diffusion's are read too, where their options leave that network as it was.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from interop.older_checkpoints import settings_of_weights
from utils.errors import RequestError
from utils.settings import Settings
from utils.untrusted import State

ENTRANCE, EXIT, CLASS_EMBEDDING = "input_blocks.0.0.weight", "out.2.weight", "label_emb.weight"
NAMES = {  # theirs -> ours, as they stand in a tensor's name
    r"^input_blocks\.": "down_blocks.",
    r"^output_blocks\.": "up_blocks.",
    r"\.in_layers\.": ".conv1.",
    r"\.emb_layers\.": ".time_emb.",
    r"\.out_layers\.": ".conv2.",
    r"\.skip_connection\.": ".shortcut.",
    r"\.proj_out\.": ".proj.",
    r"^label_emb\.": "class_embed.",
}
# What its training script assumes where it is told nothing; its schedule's T is stated.
DIFFUSION = {"beta_schedule": "linear", "objective": "pred_noise", "loss_type": "l2"}
ORIGINAL_STEPS = 1000  # the T whose t its networks are shown, whatever theirs is


def is_theirs(content: Mapping[str, object]) -> bool:
    """Whether these are the tensors of its UNetModel."""
    return ENTRANCE in content


def converted(weights: State, path: Path, stated: dict[str, int]) -> tuple[State, str, Settings]:
    """Its weights by our names, "ema" or "raw" by the file's, and the settings that they tell.

    Assumed is what its own training script does by default: 4 heads, a linear schedule, predicted noise, and t as if T were
    1000. RequestError, naming what is in the way, if no settings make `models.UNet` that network.
    """
    _check(weights, path, stated["image_channel"])
    ours: State = {}
    for name, tensor in weights.items():
        for theirs, our in NAMES.items():
            name = re.sub(theirs, our, name)
        is_attention = tensor.ndim == 3 and name.endswith((".qkv.weight", ".proj.weight"))
        ours[name] = tensor.unsqueeze(-1) if is_attention else tensor
    told = settings_of_weights(ours, **stated).model_dump()
    model, diffusion = told["model"], told["diffusion"] | DIFFUSION
    model |= {"attention_bias": True, "time_scale": ORIGINAL_STEPS / stated["timestep_num"]}
    model["scale_shift_norm"] = len(ours["middle_block.0.time_emb.1.weight"]) == 2 * len(ours["middle_block.0.conv2.3.weight"])
    variances = {1: "fixed_large", 2: "learned"}
    diffusion["variance"] = variances[len(weights[EXIT]) // stated["image_channel"]]
    if (table := weights.get(CLASS_EMBEDDING)) is not None:
        # It has no label for "no class": the mean of all stands in, as nothing was trained for it.
        ours["class_embed.weight"] = torch.cat([table, table.float().mean(dim=0, keepdim=True).to(table.dtype)])
        model["num_classes"] = len(table)
    settings = Settings.model_validate(told | {"model": model, "diffusion": diffusion})
    return ours, "ema" if path.name.startswith("ema") else "raw", settings


def _check(weights: State, path: Path, channels: int) -> None:
    """RequestError for those of its options that ours has not."""
    entrance, exit_ = weights[ENTRANCE], weights.get(EXIT)

    def refuse(what: str, instead: str) -> RequestError:
        return RequestError(f"{path} is a UNetModel of OpenAI's with {what}, which cannot be expressed here; {instead} can")

    if exit_ is None or entrance.ndim != 4 or exit_.ndim != 4:
        raise refuse("no exit" if exit_ is None else "pictures of other than two dimensions", "a UNetModel of pictures")
    if entrance.shape[1] != channels:
        what = f"{entrance.shape[1]} channels in for --image_channel {channels} (for super-resolution?)"
        raise refuse(what, "one that is shown the picture alone")
    if len(exit_) not in (channels, 2 * channels):
        instead = f"one of {channels}, or, with the variance, of {2 * channels}"
        raise refuse(f"{len(exit_)} channels out for --image_channel {channels}", instead)
    for needed in ("middle_block.0.emb_layers.1.weight", "middle_block.0.out_layers.3.weight", "middle_block.1.qkv.weight"):
        if needed not in weights:
            raise refuse(f"no {needed}", "one with all layers")
    stages = {int(match[1]) for name in weights if (match := re.match(r"input_blocks\.(\d{1,4})\.", name))}
    if stages != set(range(len(stages))):
        raise refuse("halves that have no weights (conv_resample=False)", "conv_resample=True")
    halved = any(re.match(r"input_blocks\.\d+\.0\.op\.weight", name) for name in weights)
    if not halved and any(re.match(r"output_blocks\.\d+\.[12]\.in_layers", name) for name in weights):
        raise refuse("blocks that halve and double (resblock_updown=True)", "resblock_updown=False")
