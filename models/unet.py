"""The UNet of DDPM (Ho et al. 2020, App. B) and its descendants.

The order of layers, and the names in the state_dict, are those of the family (improved-diffusion and the many small
repositories after it), so that weights of the same shape can be carried over.
"""

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoids of t, (B,) -> (B, dim) float32: first the cosines, then the sines, of falling frequency.

    Transformer's position encoding (Vaswani et al. 2017, Sec. 3.5) with 1 as the highest frequency. `dim` is even.
    """
    half = dim // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def zero_init(layer: nn.Conv2d) -> nn.Conv2d:
    """Zeroes a branch's last convolution, so that the branch begins as nothing and the block as the identity."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def two_layers(in_channels: int, out_channels: int) -> nn.Sequential:
    """Linear, SiLU, linear: (B, C_in) -> (B, C_out)."""
    return nn.Sequential(nn.Linear(in_channels, out_channels), nn.SiLU(), nn.Linear(out_channels, out_channels))


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose masks are drawn for a whole batch, of which x may be some consecutive rows.

    So a batch meets the same masks in one piece, in parts one after another, and shared out among processes that begin with
    the same seed. `batch_size` is the whole batch's (None: x is the whole batch); `first`, x's first row of it, is a tensor,
    as a compiled network would be compiled again for another number.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.batch_size: int | None = None
        self.first: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        draws = torch.rand(self.batch_size or len(x), *x.shape[1:], device=x.device)
        if len(draws) != len(x):
            draws = draws[self.first + torch.arange(len(x), device=x.device)]
        return torch.where(draws >= self.p, x / (1 - self.p), 0)


class GroupNorm(nn.GroupNorm):
    """Group normalisation (Wu and He 2018), with statistics in float32, and input and output in the network's precision.

    CUDA's autocast would run it in float32, in and out, and with it the SiLU behind it: 28 bytes a value instead of 6.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not x.is_cuda or x.dtype == torch.float32:
            return super().forward(x)
        B, C = x.shape[:2]
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        # The kernel itself, which autocast leaves alone.
        pixels = x.shape[2:].numel()
        return torch.native_group_norm(x.contiguous(), weight, bias, B, C, pixels, self.num_groups, self.eps)[0]


class ResidualBlock(nn.Module):
    """norm, SiLU, conv, + time, norm, SiLU, dropout, conv, + shortcut: (B, C_in, H, W), (B, D) -> (B, C_out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, time_channels: int, dropout: float, norm_groups: int):
        super().__init__()
        self.conv1 = nn.Sequential(
            GroupNorm(norm_groups, in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.time_emb = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, out_channels))
        self.conv2 = nn.Sequential(
            GroupNorm(norm_groups, out_channels),
            nn.SiLU(),
            Dropout(dropout),
            zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(x) + self.time_emb(time)[:, :, None, None]
        return self.conv2(h) + self.shortcut(x)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v (Vaswani et al. 2017, Eq. 1): three of (B, heads, N, D) -> (B, heads, N, D).

    On a CPU as it is written: whole networks are 1.03 to 1.3 times as fast with it, in bf16, as with PyTorch's fused kernel,
    since they attend to few pixels, and as fast in fp32 (benchmarks/formulations.py).
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    return torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1) @ v


class AttentionBlock(nn.Module):
    """Self-attention over the pixels, added to its input: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, num_heads: int, norm_groups: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm = GroupNorm(norm_groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.proj = zero_init(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        # Channels run head by head, and within a head as queries, keys, values.
        qkv = self.qkv(self.norm(x)).reshape(B, self.num_heads, 3, C // self.num_heads, H * W).transpose(-1, -2)
        if qkv.device.type != "cpu" and qkv.stride(-1) != 1:
            qkv = qkv.contiguous()  # the fused kernels refuse values of a pixel that do not lie side by side
        q, k, v = qkv.unbind(dim=2)  # each (B, heads, H*W, C/heads)
        h = attention(q, k, v)
        return x + self.proj(h.transpose(-1, -2).reshape(B, C, H, W))


class Downsample(nn.Module):
    """Halves height and width by a strided convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # CUDA's autocast would copy each value in float32, four times.
        with torch.autocast("cuda", enabled=False) if x.is_cuda else nullcontext():
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.conv(x)


class Stage(nn.Sequential):
    """Layers in a row, of which the residual blocks are also given the time."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, time) if isinstance(layer, ResidualBlock) else layer(x)
        return x


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
        num_heads: attention heads; divides the channels wherever there is attention.
        dropout: inside the residual blocks.
        norm_groups: groups of the normalisation (Wu and He 2018); divides the channels of every level.
        patch_size: folds each patch_size x patch_size square of pixels into channels at the entrance, and unfolds it at
            the exit (pixel-unshuffle, Shi et al. 2016): a quarter of the work for 2, on the same picture.
        num_classes: of the pictures' labels y; 0: the network takes none. Each class has an embedding, which is added to
            that of the time; so has the null label, `num_classes`, which means "no class".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        base_channels: int,
        channel_mult: tuple[int, ...] = (1, 2, 2, 2),
        num_res_blocks: int = 2,
        attention_strides: tuple[int, ...] = (),
        num_heads: int = 4,
        dropout: float = 0.0,
        norm_groups: int = 32,
        patch_size: int = 1,
        num_classes: int = 0,
    ):
        super().__init__()
        self.base_channels, self.num_classes, self.patch_size = base_channels, num_classes, patch_size
        self.size_multiple = patch_size * 2 ** (len(channel_mult) - 1)
        time_channels = 4 * base_channels
        self.time_embed = two_layers(base_channels, time_channels)

        def block(c_in: int, c_out: int, stride: int) -> list[nn.Module]:
            residual = ResidualBlock(c_in, c_out, time_channels, dropout, norm_groups)
            return [residual, AttentionBlock(c_out, num_heads, norm_groups)] if stride in attention_strides else [residual]

        # `skips` holds the channels of every stage's output on the way down; the way up takes them back in reverse.
        channels = base_channels
        self.down_blocks = nn.ModuleList([Stage(nn.Conv2d(in_channels * patch_size**2, channels, 3, padding=1))])
        skips = [channels]
        for level, mult in enumerate(channel_mult):
            for _ in range(num_res_blocks):
                self.down_blocks.append(Stage(*block(channels, base_channels * mult, 2**level)))
                channels = base_channels * mult
                skips.append(channels)
            if level < len(channel_mult) - 1:
                self.down_blocks.append(Stage(Downsample(channels)))
                skips.append(channels)

        self.middle_block = Stage(
            ResidualBlock(channels, channels, time_channels, dropout, norm_groups),
            AttentionBlock(channels, num_heads, norm_groups),
            ResidualBlock(channels, channels, time_channels, dropout, norm_groups),
        )

        self.up_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(channel_mult))):
            for i in range(num_res_blocks + 1):
                layers = block(channels + skips.pop(), base_channels * mult, 2**level)
                channels = base_channels * mult
                if level > 0 and i == num_res_blocks:
                    layers.append(Upsample(channels))
                self.up_blocks.append(Stage(*layers))

        self.out = nn.Sequential(
            GroupNorm(norm_groups, channels),
            nn.SiLU(),
            zero_init(nn.Conv2d(channels, out_channels * patch_size**2, 3, padding=1)),
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
        time = self.time_embed(timestep_embedding(t, self.base_channels).to(x_t.dtype))  # (B, 4 * base_channels)
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
