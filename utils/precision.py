"""In which precision a network computes, and the network as a function that begins and ends in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
AMPERE, VOLTA = (8, 0), (7, 0)  # compute capabilities: the first with bf16, and the first with matrix units for fp16


def pick_precision(name: str, device: torch.device) -> str:
    """`fp32`, `tf32`, `bf16` or `fp16`. `auto` is bf16 where the device computes in it natively, else fp16 or fp32.

    Of GPUs those since Ampere do; Volta and Turing multiply fp16 on their matrix units, and a training then scales its
    gradients. Of CPUs those with AVX512-BF16 or AMX: 1.3 to 2 times as fast by network (benchmarks/formulations.py);
    without them bf16 was measured to be many times slower.
    """
    if name != "auto":
        return name
    if device.type == "mps":
        return "fp32"  # nothing else was measured there
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return "bf16" if capability >= AMPERE else "fp16" if capability >= VOLTA else "fp32"
    return "bf16" if cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices in its own instructions."""
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # not in every torch
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def float32_products(precision: str, device: torch.device) -> Iterator[None]:
    """A context in which a GPU multiplies float32 exactly for `fp32`, and on its tensor cores (TF32) for any other precision.

    PyTorch has one switch for the whole process: it is put back at the end, so that networks of different precisions can
    live in one process. A training holds this context around its steps, for their backward passes.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def at_precision(model: nn.Module, precision: str, device: torch.device) -> Callable[..., Tensor]:
    """`model` as a function of (x_t, t, y=None) that computes in `precision` and takes and gives float32: precision ends at
    this call.

    What other networks of the process compute in is not touched; see `float32_products`.
    """
    mixed = precision in DTYPES

    def call(x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        with (
            float32_products(precision, device),
            torch.autocast(device.type, dtype=DTYPES.get(precision, torch.bfloat16), enabled=mixed),
        ):
            return (model(x_t, t) if y is None else model(x_t, t, y)).float()

    return call


def cast_weights(model: nn.Module, precision: str, device: torch.device) -> None:
    """Casts, for good, the weights that each call in `precision` on `device` would cast anew: a network that is only drawn
    from computes the same, without those casts.

    They are those of convolutions and linear layers, which autocast gives their input, weight and bias in `precision`; on
    CUDA also those of the normalisation, see `models.blocks.GroupNorm` (a CPU's takes them in float32).
    """
    if precision not in DTYPES:
        return
    kinds = (nn.Conv2d, nn.Linear, *([nn.GroupNorm] if device.type == "cuda" else []))
    for module in model.modules():
        if isinstance(module, kinds):
            module.to(DTYPES[precision])
