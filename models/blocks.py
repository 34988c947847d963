"""The layers of which the UNet is made."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def zero_init(layer: nn.Conv2d) -> nn.Conv2d:
    """Zeroes a branch's last convolution, so that the branch begins as nothing and the block as the identity."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


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
    """norm, SiLU, conv, + time, norm, SiLU, dropout, conv, + shortcut: (B, C_in, H, W), (B, D) -> (B, C_out, H, W).

    With `scale_shift` the time is not added: it scales and shifts what comes out of the second norm (Nichol and Dhariwal 2021,
    App. A; "adaptive group normalisation").
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        time_channels: int,
        dropout: float,
        norm_groups: int,
        norm_eps: float = 1e-5,
        *,
        scale_shift: bool = False,
    ):
        super().__init__()
        self.scale_shift = scale_shift
        self.conv1 = nn.Sequential(
            GroupNorm(norm_groups, in_channels, norm_eps), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.time_emb = nn.Sequential(nn.SiLU(), nn.Linear(time_channels, out_channels * (2 if scale_shift else 1)))
        self.conv2 = nn.Sequential(
            GroupNorm(norm_groups, out_channels, norm_eps),
            nn.SiLU(),
            Dropout(dropout),
            zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        told = self.time_emb(time)[:, :, None, None]
        if not self.scale_shift:
            return self.conv2(self.conv1(x) + told) + self.shortcut(x)
        scale, shift = told.chunk(2, dim=1)
        h = self.conv2[0](self.conv1(x)) * (1 + scale) + shift
        return self.conv2[1:](h) + self.shortcut(x)


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

    def __init__(
        self, channels: int, num_heads: int, norm_groups: int, norm_eps: float = 1e-5, *, attention_bias: bool = False
    ):
        super().__init__()
        self.num_heads = num_heads
        self.norm = GroupNorm(norm_groups, channels, norm_eps)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=attention_bias)
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


class BlockMaker(NamedTuple):
    """Makes the blocks of a network, of what all of them have in common; the arguments are those of `models.UNet`."""

    time_channels: int
    dropout: float
    norm_groups: int
    norm_eps: float
    num_heads: int | None
    head_channels: int | None
    attention_bias: bool
    scale_shift_norm: bool
    attention_strides: tuple[int, ...]

    def layers(self, in_channels: int, out_channels: int, stride: int) -> list[nn.Module]:
        """A residual block of the level of this stride, and its attention where that level has it."""
        residual = self.residual(in_channels, out_channels)
        return [residual, self.attention(out_channels)] if stride in self.attention_strides else [residual]

    def residual(self, in_channels: int, out_channels: int) -> ResidualBlock:
        sizes = in_channels, out_channels, self.time_channels
        return ResidualBlock(*sizes, self.dropout, self.norm_groups, self.norm_eps, scale_shift=self.scale_shift_norm)

    def attention(self, channels: int) -> AttentionBlock:
        heads = self.num_heads if self.head_channels is None else channels // self.head_channels
        return AttentionBlock(channels, heads, self.norm_groups, self.norm_eps, attention_bias=self.attention_bias)


class Downsample(nn.Module):
    """Halves height and width by a strided convolution, with a zero around the map; `asymmetric`: below and right alone."""

    def __init__(self, channels: int, *, asymmetric: bool = False):
        super().__init__()
        self.asymmetric = asymmetric
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=0 if asymmetric else 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(F.pad(x, (0, 1, 0, 1)) if self.asymmetric else x)


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
