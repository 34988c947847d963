"""The same weights under our names and under those of diffusers' UNet2DModel, both ways.

Ours are those of `models.UNet`: stages in a row. Theirs are grouped by level. Beside the names only the attention differs:
our queries, keys and values come from one convolution, head by head; theirs from three linear layers.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

State = dict[str, Tensor]
Value = TypeVar("Value")

# Of a residual block and of an attention block: our names and theirs.
RESIDUAL = {"conv1.0": "norm1", "conv1.2": "conv1", "time_emb.1": "time_emb_proj", "conv2.0": "norm2", "conv2.3": "conv2",
            "shortcut": "conv_shortcut"}  # fmt: skip
ATTENTION = {"norm": "group_norm", "proj": "to_out.0"}
PROJECTIONS = ("to_q", "to_k", "to_v")  # theirs, of which our qkv is made
# How UNet2DModel called the parts of an attention block until version 0.14.
OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
CLASS_EMBEDDING = "class_embedding.weight"  # theirs
ENDS = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2", "down_blocks.0.0": "conv_in",
        "out.0": "conv_norm_out", "out.2": "conv_out", "class_embed": "class_embedding"}  # fmt: skip


class Layout(NamedTuple):
    """Which layers a network has. attention: whether each level has it, the first level first."""

    attention: tuple[bool, ...]
    num_res_blocks: int


def to_theirs(weights: State, layout: Layout, heads: dict[int, int]) -> State:
    """Our weights under their names. `heads`: how many heads an attention block of so many channels has."""
    found = {}
    names = dict(_layers(layout))
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        block, _, part = layer.rpartition(".")
        if part == "qkv":
            count = heads[tensor.shape[0] // 3]
            for projection, rows in zip(PROJECTIONS, _apart(tensor.flatten(1) if kind == "weight" else tensor, count)):
                found[f"{names[block]}.{projection}.{kind}"] = rows
                if f"{layer}.bias" not in weights:
                    found[f"{names[block]}.{projection}.bias"] = torch.zeros_like(rows[:, 0])
        elif layer in names:
            found[f"{names[layer]}.{kind}"] = tensor.flatten(1) if part == "proj" and kind == "weight" else tensor
        else:
            raise KeyError(name)
    return found


def from_theirs(weights: State, layout: Layout, heads: dict[int, int]) -> State:
    """The inverse of `to_theirs`."""
    names = {theirs: ours for ours, theirs in _layers(layout)}
    found, projections = {}, {}
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        block, _, part = layer.rpartition(".")
        if part in PROJECTIONS:
            projections.setdefault((block, kind), {})[part] = tensor
        else:
            is_output = layer.endswith("to_out.0") and kind == "weight"
            found[f"{names[layer]}.{kind}"] = tensor[..., None, None] if is_output else tensor
    for (block, kind), parts in projections.items():
        joined = _joined([parts[name] for name in PROJECTIONS], heads[len(parts["to_q"])])
        found[f"{names[block]}.qkv.{kind}"] = joined[..., None, None] if kind == "weight" else joined
    return found


def renamed(weights: dict[str, Value]) -> dict[str, Value]:
    """Their weights, or what is known of them, of any version, under the names of today's."""
    found = {}
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        block, _, part = layer.rpartition(".")
        is_old = part in OLD_NAMES and ".attentions." in f".{block}."
        found[f"{block}.{OLD_NAMES[part]}.{kind}" if is_old else name] = tensor
    return found


def _apart(rows: Tensor, heads: int) -> list[Tensor]:
    """(3 C, ...) -> three of (C, ...): of rows head by head, and within a head as queries, keys, values, each by itself."""
    by_head = rows.reshape(heads, 3, len(rows) // 3 // heads, *rows.shape[1:])
    return [by_head[:, i].reshape(len(rows) // 3, *rows.shape[1:]) for i in range(3)]


def _joined(parts: list[Tensor], heads: int) -> Tensor:
    """The inverse of `_apart`."""
    by_head = torch.stack([part.reshape(heads, len(part) // heads, *part.shape[1:]) for part in parts], dim=1)
    return by_head.reshape(3 * len(parts[0]), *parts[0].shape[1:])


def _layers(layout: Layout) -> Iterator[tuple[str, str]]:
    """Our name of each layer, and theirs; of an attention block also the block's own."""
    yield from ENDS.items()
    last, stage = len(layout.attention) - 1, 1
    for level, has_attention in enumerate(layout.attention):
        for i in range(layout.num_res_blocks):
            yield from _blocks(f"down_blocks.{stage}", f"down_blocks.{level}", i, has_attention)
            stage += 1
        if level < last:
            yield f"down_blocks.{stage}.0.op", f"down_blocks.{level}.downsamplers.0.conv"
            stage += 1
    yield from _residual("middle_block.0", "mid_block.resnets.0")
    yield from _attention("middle_block.1", "mid_block.attentions.0")
    yield from _residual("middle_block.2", "mid_block.resnets.1")
    for step, has_attention in enumerate(reversed(layout.attention)):
        for i in range(layout.num_res_blocks + 1):
            ours = f"up_blocks.{step * (layout.num_res_blocks + 1) + i}"
            yield from _blocks(ours, f"up_blocks.{step}", i, has_attention)
        if step < last:
            yield f"{ours}.{1 + has_attention}.conv", f"up_blocks.{step}.upsamplers.0.conv"


def _blocks(ours: str, theirs: str, i: int, has_attention: bool) -> Iterator[tuple[str, str]]:
    yield from _residual(f"{ours}.0", f"{theirs}.resnets.{i}")
    if has_attention:
        yield from _attention(f"{ours}.1", f"{theirs}.attentions.{i}")


def _residual(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield from ((f"{ours}.{a}", f"{theirs}.{b}") for a, b in RESIDUAL.items())


def _attention(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield ours, theirs
    yield from ((f"{ours}.{a}", f"{theirs}.{b}") for a, b in ATTENTION.items())
