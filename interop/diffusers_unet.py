"""The configuration of diffusers' UNet2DModel, and the settings under which ours is the same network, both ways."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from interop.diffusers_weights import Layout
from utils.errors import RequestError
from utils.settings import DataSettings, DiffusionSettings, ModelSettings

Width = Annotated[int, Field(ge=1, le=2**20)]
Side = Annotated[int, Field(ge=1, le=2**16)]


class UNetConfig(BaseModel):
    """UNet2DModel's configuration, as far as `models.UNet` can be that network; its defaults where a file is silent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    sample_size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)]
    in_channels: Width = 3
    out_channels: Width = 3
    center_input_sample: Literal[False] = False
    time_embedding_type: Literal["positional"] = "positional"
    time_embedding_dim: Width | None = None
    freq_shift: Literal[0, 1] = 0
    flip_sin_to_cos: bool = True
    down_block_types: list[Literal["DownBlock2D", "AttnDownBlock2D"]] = ["DownBlock2D", *["AttnDownBlock2D"] * 3]
    mid_block_type: Literal["UNetMidBlock2D"] = "UNetMidBlock2D"
    up_block_types: list[Literal["UpBlock2D", "AttnUpBlock2D"]] = [*["AttnUpBlock2D"] * 3, "UpBlock2D"]
    block_out_channels: Annotated[list[Width], Field(min_length=1, max_length=11)] = [224, 448, 672, 896]
    layers_per_block: Annotated[int, Field(ge=1, le=64)] = 2
    mid_block_scale_factor: Annotated[float, Field(ge=1, le=1)] = 1.0
    downsample_padding: Literal[0, 1] = 1
    downsample_type: Literal["conv"] = "conv"
    upsample_type: Literal["conv"] = "conv"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    act_fn: Literal["silu", "swish"] = "silu"
    attention_head_dim: Width | None = 8
    norm_num_groups: Width = 32
    attn_norm_num_groups: Width | None = None
    norm_eps: Annotated[float, Field(gt=0, le=1)] = 1e-5
    resnet_time_scale_shift: Literal["default", "scale_shift"] = "default"
    add_attention: bool = True
    class_embed_type: None = None
    num_class_embeds: Annotated[int, Field(ge=1, le=100_001)] | None = None
    num_train_timesteps: int | None = None  # of a learned time embedding alone


def layout_of(model: ModelSettings, data: DataSettings) -> Layout:
    """Which layers the network of these settings has."""
    side = data.image_size // model.patch_size
    attention = tuple(side // 2**level in model.attention_resolutions for level in range(len(model.channel_mult)))
    return Layout(attention, model.num_res_blocks)


def attention_heads(model: ModelSettings, layout: Layout) -> dict[int, int]:
    """Channels of an attention block -> its heads. The middle always has one."""
    widths = [model.base_channels * mult for mult in model.channel_mult]
    attended = [width for width, has_it in zip(widths, layout.attention) if has_it]
    return {width: model.num_heads or width // model.head_channels for width in [*attended, widths[-1]]}


def unet_config(
    model: ModelSettings, data: DataSettings, diffusion: DiffusionSettings, source: str
) -> dict[str, object]:
    """What UNet2DModel is configured with to be the network of these settings, for pictures folded by `patch_size`.

    RequestError, naming the setting of the file `source`, if none of its configurations is that network.
    """

    def refuse(setting: str, why: str) -> RequestError:
        return RequestError(f"{source}: {setting} cannot be expressed in diffusers: {why}")

    if diffusion.self_condition:
        raise refuse("diffusion.self_condition", "UNet2DModel is shown x_t alone; a network trained without it can")
    if model.channel_mult[0] != 1:
        raise refuse(
            f"model.channel_mult {model.channel_mult}",
            "UNet2DModel's first level is as wide as its entrance; one that begins with 1 can",
        )
    if model.time_scale != 1:
        raise refuse(f"model.time_scale {model.time_scale}", "UNet2DModel is shown t as it is; a network of time_scale 1 can")
    layout = layout_of(model, data)
    heads = attention_heads(model, layout)
    sizes = sorted({width // count for width, count in heads.items()})
    one_head = set(heads.values()) == {1}
    if len(sizes) > 1 and not one_head:
        raise refuse(
            f"model.num_heads {model.num_heads}",
            f"the heads have {' and '.join(map(str, sizes))} channels, and UNet2DModel's all have as many; "
            "model.num_heads 1 or model.head_channels can",
        )
    channels = data.image_channel * model.patch_size**2
    return {
        "sample_size": data.image_size // model.patch_size,
        "in_channels": channels,
        "out_channels": channels * (2 if diffusion.variance == "learned" else 1),
        "center_input_sample": False,
        "time_embedding_type": "positional",
        "freq_shift": model.frequency_shift,
        "flip_sin_to_cos": True,
        "down_block_types": ["AttnDownBlock2D" if has_it else "DownBlock2D" for has_it in layout.attention],
        "mid_block_type": "UNetMidBlock2D",
        "up_block_types": ["AttnUpBlock2D" if has_it else "UpBlock2D" for has_it in reversed(layout.attention)],
        "block_out_channels": [model.base_channels * mult for mult in model.channel_mult],
        "layers_per_block": model.num_res_blocks,
        "downsample_padding": 0 if model.asymmetric_padding else 1,
        "dropout": model.dropout,
        "act_fn": "silu",
        "attention_head_dim": None if one_head else sizes[0],
        "norm_num_groups": model.norm_groups,
        "norm_eps": model.norm_eps,
        "resnet_time_scale_shift": "scale_shift" if model.scale_shift_norm else "default",
        "attn_norm_num_groups": model.norm_groups if model.scale_shift_norm else None,  # else the middle's has no norm
        "num_class_embeds": model.num_classes + 1 if model.num_classes else None,
    }


def model_block(config: UNetConfig, patch_size: int, source: str) -> dict[str, object]:
    """The model block of that network, for pictures folded by `patch_size`, but for `num_classes`.

    RequestError, naming what of the file `source` is in the way.
    """

    def refuse(key: str, why: str) -> RequestError:
        return RequestError(f"{source}: {key} {getattr(config, key)} cannot be expressed here: {why}")

    widths, side = config.block_out_channels, _side(config, source)
    attention = [name.startswith("Attn") for name in config.down_block_types]
    if len(attention) != len(widths):
        raise refuse("down_block_types", f"block_out_channels has {len(widths)} levels")
    if [name.startswith("Attn") for name in config.up_block_types] != attention[::-1]:
        raise refuse("up_block_types", "a level that has attention on the way down has it on the way up, and no other")
    if any(width % widths[0] for width in widths):
        raise refuse("block_out_channels", "each is a whole multiple of the first")
    if config.time_embedding_dim not in (None, 4 * widths[0]):
        raise refuse("time_embedding_dim", f"it is four times the first of block_out_channels, {4 * widths[0]}")
    shifted = config.resnet_time_scale_shift == "scale_shift"
    if shifted and config.attn_norm_num_groups is None and config.add_attention:
        raise refuse("attn_norm_num_groups", f"with scale_shift it is norm_num_groups, {config.norm_num_groups}")
    if config.attn_norm_num_groups not in (None, config.norm_num_groups):
        raise refuse("attn_norm_num_groups", f"it is norm_num_groups, {config.norm_num_groups}")
    if config.in_channels not in (patch_size**2, 3 * patch_size**2):
        raise refuse("in_channels", f"it is 1 or 3{f' times {patch_size**2}, as pixels are folded' if patch_size > 1 else ''}")
    if config.out_channels not in (config.in_channels, 2 * config.in_channels):
        raise refuse("out_channels", f"it is in_channels, {config.in_channels}, or twice that, with the variance")
    attended = {width for width, has_it in zip(widths, attention) if has_it}
    attended |= {widths[-1]} if config.add_attention else set()
    size = config.attention_head_dim
    if size is not None and (wrong := [width for width in sorted(attended) if width % size]):
        raise refuse("attention_head_dim", f"it divides the channels of every attention block, such as {wrong[0]}")
    by_number = size is None or len(attended) <= 1  # no attention: the middle's block, which then says nothing, has one head
    return {
        "base_channels": widths[0],
        "channel_mult": [width // widths[0] for width in widths],
        "num_res_blocks": config.layers_per_block,
        "attention_resolutions": [side // 2**level for level, has_it in enumerate(attention) if has_it],
        "num_heads": (1 if size is None or not attended else attended.pop() // size) if by_number else None,
        "head_channels": None if by_number else size,
        "dropout": config.dropout,
        "norm_groups": config.norm_num_groups,
        "patch_size": patch_size,
        "attention_bias": True,
        "norm_eps": config.norm_eps,
        "asymmetric_padding": config.downsample_padding == 0,
        "frequency_shift": config.freq_shift,
        "scale_shift_norm": shifted,
    }


def picture_shape(config: UNetConfig, patch_size: int, source: str) -> tuple[int, int]:
    """Channels and side of the pictures that it draws folded by `patch_size`. RequestError where they are not square."""
    return config.in_channels // patch_size**2, _side(config, source) * patch_size


def _side(config: UNetConfig, source: str) -> int:
    sides = config.sample_size if isinstance(config.sample_size, list) else [config.sample_size] * 2
    if sides[0] != sides[1]:
        raise RequestError(f"{source}: sample_size {sides} cannot be expressed here: pictures are square")
    return sides[0]
