"""Coefficients are computed in float64, and come to the pictures in theirs."""

from torch import Tensor

WITHOUT_FLOAT64 = ("mps",)  # types of devices


def on_device(value: float | Tensor, x: Tensor) -> Tensor:
    """A float64 value as a tensor like x; a number is filled in there, rather than copied from the CPU."""
    return x.new_full((), value) if isinstance(value, float) else like(value, x)


def like(coefficient: float | Tensor, x: Tensor) -> float | Tensor:
    """A float64 coefficient in x's precision and on its device (a Python float already takes both)."""
    # The precision first: the device may have no float64.
    return coefficient if isinstance(coefficient, float) else coefficient.to(x.dtype).to(x.device)
