"""Which device, and how its memory and its algorithms are used: decided once, at the start."""

import ctypes
import os
import sys
from functools import cache

import psutil
import torch
from torch import Tensor

from diffusion.precision import WITHOUT_FLOAT64
from utils.errors import RequestError, one_line

NO_GPU = ("no NVIDIA driver", "not compiled with CUDA")  # what torch says where there is none


def pick_device(name: str) -> torch.device:
    """`auto`: a CUDA device, else Apple's GPU (`mps`), else the CPU. RequestError if what is asked for is not there.

    A CUDA device that is there but cannot be used, as with an old driver, is not passed over. Where CUDA_VISIBLE_DEVICES
    names one on a machine without any, a line says that the CPU computes.
    """
    if name == "auto":
        _note_missing_cuda()
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in available.items() if there)
    if not available[name]:
        what = "CUDA device" if name == "cuda" else "GPU of Apple's"
        why = f" ({_why_no_cuda()})" if name == "cuda" else ""
        raise RequestError(f"--device {name}: PyTorch sees no {what} here{why}; use --device cpu or auto")
    return torch.device(name)


@cache
def _note_missing_cuda() -> None:
    """RequestError if there is a driver but no device that torch can use, of those that the user leaves visible."""
    if torch.cuda.is_available():
        return
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    why = _why_no_cuda()
    if named is not None and (not named.strip() or named.strip().startswith("-")):
        return  # hidden on purpose
    if any(reason in why for reason in NO_GPU) or (named is None and "No CUDA GPUs" in why):
        if named is not None:
            print(f"Note:    CUDA_VISIBLE_DEVICES={one_line(named)}, but PyTorch sees no CUDA device here ({why})")
        return
    raise RequestError(f"the CUDA device cannot be used: {why}; mend that, or use --device cpu")


def _why_no_cuda() -> str:
    """What torch says when it is asked for CUDA and has none, its first sentence."""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return one_line(str(error).strip().splitlines()[0]).split(". ")[0].rstrip(".")
    return "no device is visible"


def check_device_works(device: torch.device) -> None:
    """RequestError if a CUDA device does not even fill a tensor: there are no kernels for its architecture, say."""
    if device.type != "cuda":
        return
    try:
        torch.ones(1, device=device).sum().item()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        why = one_line(str(error).strip().splitlines()[0]).removeprefix("CUDA error: ")
        raise RequestError(
            f"the CUDA device cannot be used: {why}; install the PyTorch that is built for it, or use --device cpu"
        ) from None


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


def pick_channels_last(setting: str | bool, device: torch.device, precision: str, *, training: bool) -> bool:
    """Whether feature maps lie in memory with the channels last: `auto` does for drawing in fp32 on a CPU, and on CUDA in
    bf16 and fp16, whose convolutions run so on the tensor cores.

    1.08 to 1.23 times as fast by network with AVX2, 0.95 to 1 with AVX512 (benchmarks/formulations.py); in training 0.93 to
    1.1. In bf16 it is the slower one: the CPU's normalisation takes several times as long so. On an H100 a small
    network's step is as long either way.
    """
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return precision in ("bf16", "fp16")
    return device.type == "cpu" and precision == "fp32" and not training


def tune_convolutions(device: torch.device) -> None:
    """From now on cuDNN tries its algorithms for each new shape and takes the fastest, unless they must be deterministic."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()


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
