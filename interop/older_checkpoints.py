"""Checkpoints of the older scripts of this kind: weights without settings, from which the settings are read off."""

import math

from torch import Tensor

from utils.checkpoints import UNKNOWN_DATA
from utils.errors import RequestError
from utils.settings import Settings
from utils.shapes import Size, sides

NOT_NAMED = "(not named in the "  # how its data_path begins
STATE_DICT = "unet_model"  # where such a .pt file holds its weights, beside "epoch"

# What the shapes of the weights do not tell, as those scripts have it.
ASSUMED_MODEL = {"num_heads": 4, "norm_groups": 32, "dropout": 0.0}
ASSUMED_DIFFUSION = {"beta_schedule": "cosine", "objective": "pred_noise", "loss_type": "l1"}


def settings_of_weights(
    weights: dict[str, Tensor], *, image_size: Size, image_channel: int, timestep_num: int
) -> Settings:
    """The settings under which `models.UNet` has just these weights.

    Widths, depths and attention are read off the names and shapes; the number of heads, the groups and the diffusion are
    those of the older scripts (see ASSUMED_MODEL, ASSUMED_DIFFUSION), and what is given here is believed. RequestError if the
    names are not those of `models.UNet`, pydantic's ValidationError if the settings do not fit each other.
    """
    entrance = weights.get("down_blocks.0.0.weight")
    empty = any(0 in tensor.shape or tensor.ndim == 0 for tensor in weights.values())
    if entrance is None or entrance.ndim != 4 or empty:
        raise RequestError("the file carries no settings, and its weights are not those of a network of this project")
    base_channels, folded_channels = entrance.shape[:2]
    patch_size = math.isqrt(max(1, folded_channels // image_channel))
    widths, blocks, attention, level, stage = [0], [0], set(), 0, 1
    while any(name.startswith(f"down_blocks.{stage}.") for name in weights):
        if f"down_blocks.{stage}.0.op.weight" in weights:
            level += 1
            widths.append(0)
            blocks.append(0)
        elif f"down_blocks.{stage}.0.conv1.2.weight" in weights:
            widths[level] = len(weights[f"down_blocks.{stage}.0.conv1.2.weight"])
            blocks[level] += 1
            if f"down_blocks.{stage}.1.qkv.weight" in weights:
                attention.add(min(sides(image_size)) // patch_size // 2**level)
        stage += 1
    model = {
        "base_channels": base_channels,
        "channel_mult": [width // base_channels for width in widths],
        "num_res_blocks": blocks[0],
        "attention_resolutions": sorted(attention, reverse=True),
        "patch_size": patch_size,
        **ASSUMED_MODEL,
    }
    # It says nothing of its data: `random_gen` needs none, and the other modes are told by --data_name.
    data = {"data_path": f"{NOT_NAMED}checkpoint)", "image_size": image_size, "image_channel": image_channel}
    diffusion = {"timestep_num": timestep_num, **ASSUMED_DIFFUSION}
    sample = {"sample_info": f"DDIM_{min(50, timestep_num)}_0p0"}
    return Settings(data_name=UNKNOWN_DATA, data=data, model=model, diffusion=diffusion, sample=sample)
