"""The UNet of DDPM (Ho et al. 2020, App. B) and its descendants.

The order of layers, and the names in the state_dict, are those of the family (improved-diffusion and the many small
repositories after it), so that weights of the same shape can be carried over.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import BlockMaker, Downsample, Dropout, GroupNorm, Stage, Upsample, zero_init


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000.0, frequency_shift: int = 0) -> Tensor:
    """Sinusoids of t, (B,) -> (B, dim) float32: first the cosines, then the sines, of falling frequency.

    Transformer's position encoding (Vaswani et al. 2017, Sec. 3.5) with 1 as the highest frequency. `dim` is even. With a
    `frequency_shift` of 1 the lowest is 1 / max_period itself, as in DDPM's own code.
    """
    half = dim // 2
    exponents = -math.log(max_period) * torch.arange(half, dtype=torch.float32, device=t.device)
    frequencies = torch.exp(exponents / (half - frequency_shift))
    angles = t.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def two_layers(in_channels: int, out_channels: int) -> nn.Sequential:
    """Linear, SiLU, linear: (B, C_in) -> (B, C_out)."""
    return nn.Sequential(nn.Linear(in_channels, out_channels), nn.SiLU(), nn.Linear(out_channels, out_channels))


def way_down(
    make: BlockMaker, first_channels: int, widths: list[int], num_res_blocks: int, asymmetric_padding: bool
) -> tuple[list[Stage], list[int]]:
    """The stages behind the entrance, of `first_channels`, down to the middle; `widths`: the channels of each level.

    And the channels of every output that the way up takes back, the entrance's first.
    """
    stages, skips = [], [first_channels]
    for level, width in enumerate(widths):
        for _ in range(num_res_blocks):
            stages.append(Stage(*make.layers(skips[-1], width, 2**level)))
            skips.append(width)
        if level < len(widths) - 1:
            stages.append(Stage(Downsample(skips[-1], asymmetric=asymmetric_padding)))
            skips.append(skips[-1])
    return stages, skips


def way_up(make: BlockMaker, skips: list[int], widths: list[int], num_res_blocks: int) -> list[Stage]:
    """The stages from the middle up; `skips`: see `way_down`, whose outputs they take back in reverse."""
    stages, channels, kept = [], skips[-1], list(skips)
    for level, width in reversed(list(enumerate(widths))):
        for i in range(num_res_blocks + 1):
            layers = make.layers(channels + kept.pop(), width, 2**level)
            channels = width
            if level > 0 and i == num_res_blocks:
                layers.append(Upsample(channels))
            stages.append(Stage(*layers))
    return stages


class UNet(nn.Module):
    """(x_t, t, y) -> one value for each pixel and channel: (B, C, H, W), (B,), (B,) -> (B, C_out, H, W).

    H and W need not be equal; each must be a multiple of patch_size * 2^(levels - 1).

    Args:
        in_channels, out_channels: of the pictures, and of what is predicted for them.
        base_channels: channels of the first level (even, for the time embedding).
        channel_mult: channels of each level, as multiples of base_channels; each level halves the one before it.
        num_res_blocks: residual blocks of a level on the way down; there is one more on the way up.
        attention_strides: a level has attention if the pixels of its map are this far apart on the (folded) picture:
            1 is the first level, 2 the second, 4 the third.
        num_heads: attention heads; divides the channels wherever there is attention. None where head_channels is given.
        head_channels: instead of num_heads, the channels of a head; divides the channels wherever there is attention.
        dropout: inside the residual blocks.
        norm_groups: groups of the normalisation (Wu and He 2018); divides the channels of every level.
        patch_size: folds each patch_size x patch_size square of pixels into channels at the entrance, and unfolds it at
            the exit (pixel-unshuffle, Shi et al. 2016): a quarter of the work for 2, on the same picture.
        num_classes: of the pictures' labels y; 0: the network takes none. Each class has an embedding, which is added to
            that of the time; so has the null label, `num_classes`, which means "no class".
        attention_bias, norm_eps, asymmetric_padding, frequency_shift, scale_shift_norm, time_scale: what others' networks have
            otherwise: biases of queries, keys and values; what the normalisation adds to the variance; see `Downsample`; see
            `timestep_embedding`; see `ResidualBlock`; what t is multiplied by.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        channel_mult: tuple[int, ...] = (1, 2, 2, 2),
        num_res_blocks: int = 2,
        attention_strides: tuple[int, ...] = (),
        num_heads: int | None = 4,
        dropout: float = 0.0,
        norm_groups: int = 32,
        patch_size: int = 1,
        num_classes: int = 0,
        head_channels: int | None = None,
        attention_bias: bool = False,
        norm_eps: float = 1e-5,
        asymmetric_padding: bool = False,
        frequency_shift: int = 0,
        scale_shift_norm: bool = False,
        time_scale: float = 1.0,
    ):
        super().__init__()
        self.base_channels, self.num_classes, self.patch_size = base_channels, num_classes, patch_size
        self.frequency_shift, self.time_scale = frequency_shift, time_scale
        self.size_multiple = patch_size * 2 ** (len(channel_mult) - 1)
        time_channels = 4 * base_channels
        self.time_embed = two_layers(base_channels, time_channels)

        make = BlockMaker(
            time_channels, dropout, norm_groups, norm_eps, num_heads, head_channels, attention_bias, scale_shift_norm,
            attention_strides,
        )  # fmt: skip
        widths = [base_channels * mult for mult in channel_mult]
        entrance = Stage(nn.Conv2d(in_channels * patch_size**2, base_channels, 3, padding=1))
        stages, skips = way_down(make, base_channels, widths, num_res_blocks, asymmetric_padding)
        self.down_blocks = nn.ModuleList([entrance, *stages])
        channels = skips[-1]
        self.middle_block = Stage(
            make.residual(channels, channels), make.attention(channels), make.residual(channels, channels)
        )
        self.up_blocks = nn.ModuleList(way_up(make, skips, widths, num_res_blocks))
        self.out = nn.Sequential(
            GroupNorm(norm_groups, widths[0], norm_eps),
            nn.SiLU(),
            zero_init(nn.Conv2d(widths[0], out_channels * patch_size**2, 3, padding=1)),
        )
        # Made last: the other weights begin as they do without it.
        self.class_embed = nn.Embedding(num_classes + 1, time_channels) if num_classes else None

    def part_of_batch(self, first: int, batch_size: int) -> None:
        """From now on, what the network is trained on are rows from `first` of batches of `batch_size`: see `Dropout`."""
        device = self.out[-1].weight.device
        for module in self.modules():
            if isinstance(module, Dropout):
                if module.first is None or module.first.device != device:
                    module.first = torch.zeros((), dtype=torch.int64, device=device)
                # Filled in there: nothing is copied, and so nothing waits; a CUDA graph reads it where it is.
                module.first.fill_(first)
                module.batch_size = batch_size

    def forward(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """x_t: (B, C, H, W); t: (B,) integers; y: (B,) labels, 0 to num_classes. Returns (B, C_out, H, W).

        No y is the null label for all. ValueError for a y where there are no classes, or if H or W cannot be halved so often.
        """
        if any(side % self.size_multiple for side in x_t.shape[2:]):
            raise ValueError(
                f"pictures of {tuple(x_t.shape[2:])} pixels: both must be multiples of {self.size_multiple}"
            )
        scaled = t if self.time_scale == 1 else t * self.time_scale
        sinusoids = timestep_embedding(scaled, self.base_channels, frequency_shift=self.frequency_shift)
        time = self.time_embed(sinusoids.to(x_t.dtype))  # (B, 4 * base_channels)
        if self.class_embed is not None:
            time = time + self.class_embed(torch.full_like(t, self.num_classes, dtype=torch.long) if y is None else y)
        elif y is not None:
            raise ValueError("labels y were given to a network without classes (num_classes 0)")
        h = F.pixel_unshuffle(x_t, self.patch_size)
        skips = []
        for stage in self.down_blocks:
            h = stage(h, time)
            skips.append(h)
        h = self.middle_block(h, time)
        for stage in self.up_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), time)
        return F.pixel_shuffle(self.out(h), self.patch_size)
