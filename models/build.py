"""From the YAML's model block to a network."""

import math
from collections.abc import Sequence

import torch

from models.unet import UNet


def build_model(
    *,
    image_size: int | Sequence[int],
    image_channel: int,
    self_condition: bool = False,
    learned_variance: bool = False,
    base_channels: int,
    channel_mult: list[int],
    num_res_blocks: int,
    attention_resolutions: list[int],
    num_heads: int | None,
    dropout: float,
    norm_groups: int,
    patch_size: int,
    num_classes: int = 0,
    head_channels: int | None = None,
    attention_bias: bool = False,
    norm_eps: float = 1e-5,
    asymmetric_padding: bool = False,
    frequency_shift: int = 0,
    scale_shift_norm: bool = False,
    time_scale: float = 1.0,
) -> UNet:
    """The UNet for pictures of `image_size` pixels, N x N or (height, width), and `image_channel` channels; the rest is the
    model block.

    With `self_condition` the network is also given an estimate of x_0, with `learned_variance` it also names a variance:
    twice the channels, in or out. `attention_resolutions` are sides of feature maps, the shorter ones, in (folded) pixels: with
    image_size 32 and patch_size 2 the maps have sides 16, 8, 4 ... ValueError, saying what would fit, for a setting that does
    not fit the others or the pictures.
    """
    strides = attention_strides(image_size, patch_size, len(channel_mult), attention_resolutions)
    check_time_embedding(base_channels, frequency_shift)
    check_channels(base_channels, channel_mult, strides, norm_groups, num_heads, head_channels)
    return UNet(
        in_channels=image_channel * (2 if self_condition else 1),
        out_channels=image_channel * (2 if learned_variance else 1),
        base_channels=base_channels,
        channel_mult=tuple(channel_mult),
        num_res_blocks=num_res_blocks,
        attention_strides=strides,
        num_heads=num_heads,
        dropout=dropout,
        norm_groups=norm_groups,
        patch_size=patch_size,
        num_classes=num_classes,
        head_channels=head_channels,
        attention_bias=attention_bias,
        norm_eps=norm_eps,
        asymmetric_padding=asymmetric_padding,
        frequency_shift=frequency_shift,
        scale_shift_norm=scale_shift_norm,
        time_scale=time_scale,
    )


def parameter_shapes(arguments: dict[str, object]) -> dict[str, tuple[int, ...]]:
    """What the weights of `build_model(**arguments)` are called, and their shapes, without the memory that they take."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build_model(**arguments).state_dict().items()}


def parameter_count(arguments: dict[str, object]) -> int:
    """How many numbers `build_model(**arguments)` would learn."""
    return sum(math.prod(shape) for shape in parameter_shapes(arguments).values())


def attention_strides(
    image_size: int | Sequence[int], patch_size: int, level_num: int, attention_resolutions: Sequence[int]
) -> tuple[int, ...]:
    """`attention_resolutions`, the sides of the feature maps that have attention, as the distance of their pixels on the
    folded picture: see `UNet`.

    ValueError if a picture cannot be folded and halved into so many levels, or if a side is none of their maps'.
    """
    multiple = patch_size * 2 ** (level_num - 1)
    is_square = isinstance(image_size, int)
    if any(side % multiple for side in ([image_size] if is_square else image_size)):
        raise ValueError(
            f"image_size {image_size if is_square else list(image_size)} cannot be folded by patch_size {patch_size} and "
            f"halved {level_num - 1} times (the length of channel_mult, less one): "
            f"{'it must be a multiple' if is_square else 'both sides must be multiples'} of {multiple}"
        )
    shorter = image_size if is_square else min(image_size)
    strides = {shorter // patch_size // 2**level: 2**level for level in range(level_num)}  # by the side of the map
    for side in attention_resolutions:
        if side not in strides:
            raise ValueError(
                f"attention_resolutions has {side}, which never occurs: the feature maps have sides {list(strides)}"
            )
    return tuple(strides[side] for side in attention_resolutions)


def check_channels(
    base_channels: int,
    channel_mult: Sequence[int],
    strides: Sequence[int],
    norm_groups: int,
    num_heads: int | None,
    head_channels: int | None,
) -> None:
    """ValueError unless the groups divide the channels of every level, and the heads those of the levels that have attention:
    the ones of these `strides`, and the last, for the middle block."""
    if (num_heads is None) == (head_channels is None):
        raise ValueError(
            f"num_heads {num_heads} and head_channels {head_channels}: give one of them, and null for the other"
        )
    name, divisor = ("head_channels", head_channels) if num_heads is None else ("num_heads", num_heads)
    for level, mult in enumerate(channel_mult):
        channels = base_channels * mult
        where = f"the {channels} channels of level {level + 1} (base_channels {base_channels} x {mult})"
        if channels % norm_groups:
            raise ValueError(f"norm_groups {norm_groups} does not divide {where}")
        if channels % divisor and (2**level in strides or level == len(channel_mult) - 1):
            raise ValueError(f"{name} {divisor} does not divide {where}")


def check_time_embedding(base_channels: int, frequency_shift: int) -> None:
    """ValueError unless a `timestep_embedding` can have `base_channels` values."""
    if base_channels % 2:
        raise ValueError(
            f"base_channels {base_channels} must be even: half of the time embedding is cosines, half sines"
        )
    if base_channels // 2 <= frequency_shift:
        raise ValueError(f"base_channels {base_channels} must be more than {2 * frequency_shift}, for frequency_shift 1")
