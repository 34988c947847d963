"""Which device, in which precision, compiled or not: decided once, at the start."""

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from utils.errors import RequestError

# Below this many steps the minute or so of compiling does not pay on a GPU.
COMPILE_PAYS_FROM = 5000
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """`auto`: the GPU if there is one. RequestError if a GPU is asked for and there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise RequestError("--device cuda: PyTorch sees no CUDA device here; use --device cpu or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> str:
    """`fp32`, `bf16` or `fp16`. `auto` is bf16 on GPUs that compute in it natively, else fp32."""
    if name != "auto":
        return name
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def pick_compile(setting: str | bool, device: torch.device, steps: int) -> bool:
    """Whether to compile the network: `auto` does on a GPU, for long runs. On CPUs it was measured not to pay."""
    return device.type == "cuda" and steps >= COMPILE_PAYS_FROM if setting == "auto" else setting


def be_deterministic() -> None:
    """From now on only algorithms that give the same bits each time, on a GPU too; an operation that has none is an error."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first matrix is multiplied
    torch.use_deterministic_algorithms(True)


def at_precision(model: nn.Module, precision: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """`model` as a function that computes in `precision` and takes and gives float32: precision ends at this call."""

    def call(x_t: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=DTYPES.get(precision), enabled=precision in DTYPES):
            return model(x_t, t).float()

    return call
