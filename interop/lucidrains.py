"""Checkpoints of denoising-diffusion-pytorch (lucidrains): known by their names, and why its networks are no UNet of ours."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from utils.errors import RequestError

ENTRANCE = "init_conv.weight"
# What in its networks has no place in ours: a name that tells it, and what it is.
FOREIGN = {
    "block1.proj.weight": "blocks that convolve before they normalise",
    "mem_kv": "attention with memory of its own beside the pixels",
    "to_out.1.g": "linear attention",
    "to_qkv.weight": "heads of 32 channels whatever the width",
    "final_res_block": "the entrance's output joined again at the exit",
}


def is_theirs(content: Mapping[str, object]) -> bool:
    """Whether the content of a file is what its Trainer saves, or the state_dict of its diffusion or its network."""
    return any(name.endswith(ENTRANCE) for name in _weights(content))


def refusal(content: Mapping[str, object], path: Path) -> RequestError:
    """That its network cannot be expressed: what of it, and what can be done."""
    weights = _weights(content)
    entrance = next(tensor for name, tensor in weights.items() if name.endswith(ENTRANCE))
    what = [meaning for word, meaning in FOREIGN.items() if any(word in name for name in weights)]
    if isinstance(entrance, Tensor) and entrance.ndim == 4 and entrance.shape[-1] != 3:
        what.append(f"an entrance of {entrance.shape[-1]}x{entrance.shape[-1]} pixels")
    return RequestError(
        f"{path} is a network of denoising-diffusion-pytorch, which this project's UNet cannot express ({', '.join(what)}); "
        "what it can are networks whose blocks normalise first and attend by softmax, such as improved-diffusion's: draw "
        "from this one with its own package, or train ours on the same pictures"
    )


def _weights(content: Mapping[str, object]) -> Mapping[str, object]:
    """The tensors by name, of whichever part of the file has them."""
    for part in ("ema", "model"):
        if isinstance(content.get(part), Mapping):
            return {str(name): value for name, value in content[part].items()}
    return {str(name): value for name, value in content.items()}
