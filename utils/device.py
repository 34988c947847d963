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


def check_training_memory(parameters: int, device: torch.device) -> None:
    """RequestError if the weights alone, with what training keeps beside them, are more than the device's whole memory.

    Five float32 a parameter: the weight, its gradient, its average (EMA) and Adam's two moments.
    """
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if 20 * parameters > memory:
        raise RequestError(
            f"the network has {parameters:,} parameters: to train it takes {20 * parameters / 2**30:,.0f} GiB at the least, "
            f"and {device} has {memory / 2**30:,.0f}; lower model.base_channels or model.channel_mult"
        )


def at_precision(model: nn.Module, precision: str, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
    """`model` as a function that computes in `precision` and takes and gives float32: precision ends at this call."""

    def call(x_t: Tensor, t: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=DTYPES.get(precision), enabled=precision in DTYPES):
            return model(x_t, t).float()

    return call
