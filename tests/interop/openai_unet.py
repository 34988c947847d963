"""The network of improved-diffusion, by itself: a function of its state_dict, with nothing of ours, to test by.

Nichol and Dhariwal 2021, App. A, and Ho et al. 2020, App. B; normalisation in 32 groups.
"""

import math

import torch
import torch.nn.functional as F


def shapes(width, mults, blocks, attended, channels_in, channels_out, scale_shift, num_classes):
    """What its tensors are called, and their shapes. `attended`: the levels with attention."""
    found, D = {}, 4 * width

    def layer(name, *shape):
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[:1]

    def residual(name, c_in, c_out):
        layer(f"{name}.in_layers.0", c_in)
        layer(f"{name}.in_layers.2", c_out, c_in, 3, 3)
        layer(f"{name}.emb_layers.1", c_out * (1 + scale_shift), D)
        layer(f"{name}.out_layers.0", c_out)
        layer(f"{name}.out_layers.3", c_out, c_out, 3, 3)
        if c_in != c_out:
            layer(f"{name}.skip_connection", c_out, c_in, 1, 1)

    def attention(name, c):
        layer(f"{name}.norm", c)
        layer(f"{name}.qkv", 3 * c, c, 1)
        layer(f"{name}.proj_out", c, c, 1)

    layer("time_embed.0", D, width)
    layer("time_embed.2", D, D)
    if num_classes:
        found["label_emb.weight"] = (num_classes, D)
    layer("input_blocks.0.0", width, channels_in, 3, 3)
    stage, c, skips = 1, width, [width]
    for level, mult in enumerate(mults):
        for _ in range(blocks):
            residual(f"input_blocks.{stage}.0", c, width * mult)
            c = width * mult
            if level in attended:
                attention(f"input_blocks.{stage}.1", c)
            skips.append(c)
            stage += 1
        if level < len(mults) - 1:
            layer(f"input_blocks.{stage}.0.op", c, c, 3, 3)
            skips.append(c)
            stage += 1
    residual("middle_block.0", c, c)
    attention("middle_block.1", c)
    residual("middle_block.2", c, c)
    stage = 0
    for level, mult in reversed(list(enumerate(mults))):
        for i in range(blocks + 1):
            residual(f"output_blocks.{stage}.0", c + skips.pop(), width * mult)
            c = width * mult
            if level in attended:
                attention(f"output_blocks.{stage}.1", c)
            if level and i == blocks:
                layer(f"output_blocks.{stage}.{1 + (level in attended)}.conv", c, c, 3, 3)
            stage += 1
    layer("out.0", c)
    layer("out.2", channels_out, width, 3, 3)
    return found


def forward(weights, x, t, y=None, heads=4):
    """x: (B, C, H, W); t: (B,), as its diffusion scales it; y: (B,) where it has classes. (B, C_out, H, W)."""

    def of(name):
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    def norm(name, h):
        return F.group_norm(h, 32, *of(name))

    def residual(name, h):
        inner = F.conv2d(F.silu(norm(f"{name}.in_layers.0", h)), *of(f"{name}.in_layers.2"), padding=1)
        told = F.linear(F.silu(emb), *of(f"{name}.emb_layers.1"))[:, :, None, None]
        if told.shape[1] == 2 * inner.shape[1]:
            inner = norm(f"{name}.out_layers.0", inner) * (1 + told[:, : inner.shape[1]]) + told[:, inner.shape[1] :]
        else:
            inner = norm(f"{name}.out_layers.0", inner + told)
        inner = F.conv2d(F.silu(inner), *of(f"{name}.out_layers.3"), padding=1)
        skip = f"{name}.skip_connection"
        return inner + (F.conv2d(h, *of(skip)) if f"{skip}.weight" in weights else h)

    def attention(name, h):
        B, C, H, W = h.shape
        rows = F.conv1d(norm(f"{name}.norm", h.flatten(2)), *of(f"{name}.qkv")).view(B * heads, 3 * C // heads, H * W)
        q, k, v = rows.split(C // heads, dim=1)
        shares = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(C // heads), dim=-1)
        mixed = torch.einsum("bij,bcj->bci", shares, v).reshape(B, C, H * W)
        return h + F.conv1d(mixed, *of(f"{name}.proj_out")).view(B, C, H, W)

    def stage(name, h):
        for i in range(3):
            part = f"{name}.{i}"
            if f"{part}.in_layers.0.weight" in weights:
                h = residual(part, h)
            elif f"{part}.qkv.weight" in weights:
                h = attention(part, h)
            elif f"{part}.op.weight" in weights:
                h = F.conv2d(h, *of(f"{part}.op"), stride=2, padding=1)
            elif f"{part}.conv.weight" in weights:
                h = F.conv2d(h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3), *of(f"{part}.conv"), padding=1)
            elif f"{part}.weight" in weights:
                h = F.conv2d(h, *of(part), padding=1)
        return h

    half = weights["time_embed.0.weight"].shape[1] // 2
    angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
    emb = F.linear(F.silu(F.linear(torch.cat([angles.cos(), angles.sin()], dim=1), *of("time_embed.0"))), *of("time_embed.2"))
    if y is not None:
        emb = emb + weights["label_emb.weight"][y]
    skips, i = [], 0
    while any(name.startswith(f"input_blocks.{i}.") for name in weights):
        x = stage(f"input_blocks.{i}", x)
        skips.append(x)
        i += 1
    x, i = stage("middle_block", x), 0
    while skips:
        x = stage(f"output_blocks.{i}", torch.cat([x, skips.pop()], dim=1))
        i += 1
    return F.conv2d(F.silu(norm("out.0", x)), *of("out.2"), padding=1)
