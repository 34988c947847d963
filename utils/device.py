"""Which device, in which precision, compiled or not: decided once, at the start."""

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec

import psutil
import torch
from torch import Tensor, nn

from diffusion.gaussian import WITHOUT_FLOAT64
from utils.errors import RequestError

# Below this many steps the minute or so of compiling does not pay on a GPU.
COMPILE_PAYS_FROM = 5000
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """`auto`: a CUDA device, else Apple's GPU (`mps`), else the CPU. RequestError if what is asked for is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        what = "CUDA device" if name == "cuda" else "GPU of Apple's"
        raise RequestError(f"--device {name}: PyTorch sees no {what} here; use --device cpu or auto")
    return torch.device(name)


def float64_on(device: torch.device) -> torch.dtype:
    """float64, or float32 where the device has no float64 (Apple's GPUs)."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def upload(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU's on `device`, without waiting for what a GPU is doing: that takes pinned memory."""
    if device.type != "cuda":
        return values.to(device)
    return (values if values.is_pinned() else values.pin_memory()).to(device, non_blocking=True)


def reuse_freed_memory() -> None:
    """Keeps what this process frees for its next tensors, instead of giving it back to the system and asking for it again.

    Where the C library is glibc; elsewhere nothing happens. A step in bf16 on a CPU is up to a tenth
    shorter (benchmarks/formulations.py); the process stays as large as it has once been.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        # glibc's malloc.h: the size from which a block is the system's own (at most 32 MiB), and the free end that is kept.
        m_mmap_threshold, m_trim_threshold = -3, -1
        set_option(m_mmap_threshold, 32 * 2**20)
        set_option(m_trim_threshold, 2**31 - 1)


def pick_precision(name: str, device: torch.device) -> str:
    """`fp32`, `tf32`, `bf16` or `fp16`. `auto` is bf16 where the device computes in it natively, else fp32.

    Of CPUs those with AVX512-BF16 or AMX do: 1.3 to 2 times as fast by network (benchmarks/formulations.py); without them
    bf16 was measured to be many times slower.
    """
    if name != "auto":
        return name
    if device.type == "mps":
        return "fp32"  # nothing else was measured there
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices in its own instructions."""
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # not in every torch
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def pick_channels_last(setting: str | bool, device: torch.device, precision: str, *, training: bool) -> bool:
    """Whether feature maps lie in memory with the channels last: `auto` does for drawing in fp32 on a CPU.

    1.08 to 1.23 times as fast by network with AVX2, 0.95 to 1 with AVX512 (benchmarks/formulations.py); in training 0.93 to
    1.1. In bf16 it is the slower one: the CPU's normalisation takes several times as long so. On a GPU: not measured.
    """
    return device.type == "cpu" and precision == "fp32" and not training if setting == "auto" else setting


def pick_compile(setting: str | bool, device: torch.device, steps: int) -> bool:
    """Whether to compile the network: `auto` does on a GPU, for long runs. On CPUs it was measured not to pay."""
    return device.type == "cuda" and steps >= COMPILE_PAYS_FROM if setting == "auto" else setting


def compile_in_place(model: nn.Module, setting: str | bool, device: torch.device, steps: int) -> None:
    """Compiles `model` where `pick_compile` says so, and says that it does; without a compiler it stays as it is.

    In place: the names in its state_dict stay what they are.
    """
    if not pick_compile(setting, device, steps):
        return
    missing = missing_compiler(device)
    if missing:
        print(f"Not compiled, so slower: {missing}. run.compile=false leaves this out.")
        return
    print("Compiling the network: the first step takes a minute or two.", flush=True)
    model.compile()


def missing_compiler(device: torch.device) -> str | None:
    """What torch.compile would need on `device` and cannot find here; None if it has all."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            return "triton is not installed"
        names = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang", "cc"]
    else:
        names = [os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")]
    if any(shutil.which(name) for name in names):
        return None
    return f"torch.compile needs a compiler, and there is no {' or '.join(names)}"


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
        memory = psutil.virtual_memory().total  # Apple's GPUs share it
    if 20 * parameters > memory:
        raise RequestError(
            f"the network has {parameters:,} parameters: to train it takes {20 * parameters / 2**30:,.0f} GiB at the least, "
            f"and {device} has {memory / 2**30:,.0f}; lower model.base_channels or model.channel_mult"
        )


def at_precision(model: nn.Module, precision: str, device: torch.device) -> Callable[..., Tensor]:
    """`model` as a function of (x_t, t, y=None) that computes in `precision` and takes and gives float32: precision ends at
    this call.

    On a GPU fp32 is float32 all through; with any other precision, its float32 products run on the tensor cores (TF32).
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
        torch.backends.cudnn.allow_tf32 = precision != "fp32"

    def call(x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        with torch.autocast(device.type, dtype=DTYPES.get(precision), enabled=precision in DTYPES):
            return (model(x_t, t) if y is None else model(x_t, t, y)).float()

    return call
