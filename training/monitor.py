"""A training's doctor: a few figures that show early what goes wrong, and what they mean in words.

Its sums stay on the device, and only the writing of a log line waits for them.
"""

import math

import numpy as np
import torch
from torch import Tensor

from datasets import to_float
from diffusion import Prediction
from utils.device import float64_on
from utils.distributed import Ranks

NEVER = 2**62  # the step of a mishap that has not come
LOSS_RISE = 2.0  # times the lowest mean loss so far
QUARTER_RISE, QUARTER_LEAST = 4.0, 64  # a quarter of t has fewer losses, and so more noise: looked at from so many on
GRADIENT_CUT = 10.0  # times the largest norm that is let through
MEAN_OFF, SPREAD_OFF = 0.15, 1.25  # of drawn pictures beside the data's: on [-1, 1], and as a ratio
CLIPPED_MORE = 0.3  # the share of x_0 that is clipped, above the share of black or white in the data
DATA_PICTURES = 2048  # looked at for the data's own figures


class Doctor:
    """What a training has shown since the last line of the log, and its best so far. Part of the training's state."""

    def __init__(self, timestep_num: int, device: torch.device):
        self.timestep_num = timestep_num
        exact = float64_on(device)
        self.sums = torch.zeros(4, 2, dtype=exact, device=device)  # by quarter of t: of the losses, and how many
        self.gradients = torch.zeros(2, dtype=exact, device=device)  # of the gradient's norm, and how many
        self.mishap = torch.tensor(NEVER, device=device)  # the first step whose gradient was not finite
        self.counts = [0.0] * 4  # how many losses each quarter had in the last figures
        self.best = [math.inf] * 5  # the lowest mean losses so far: all t, and each quarter

    def note_losses(self, t: Tensor, losses: Tensor) -> None:
        """Takes the losses (B,) of the timesteps t (B,). One that is not finite is not counted."""
        finite = losses.isfinite()
        rows = torch.stack([torch.where(finite, losses, 0), finite], dim=1).to(self.sums.dtype)  # (B, 2)
        self.sums.index_add_(0, t * 4 // self.timestep_num, rows)

    def note_gradient(self, step: int, norm: Tensor, *, scaled: bool) -> None:
        """Takes the norm of a step's whole gradient. If it is `scaled` (fp16), one that is not finite is no mishap: the
        gradient scaler leaves that update out and lowers its scale."""
        finite = norm.isfinite()
        self.gradients += torch.stack([torch.where(finite, norm, 0), finite]).to(self.gradients.dtype)
        if not scaled:
            self.mishap = torch.where(finite, self.mishap, self.mishap.clamp(max=step))

    def first_mishap(self) -> int | None:
        """The first step whose gradient was not finite. The gradient is every rank's, and so is the answer."""
        step = int(self.mishap)
        return None if step == NEVER else step

    def figures(self, ranks: Ranks) -> dict[str, float]:
        """The mean loss, that of each quarter of t (q1 has the least noise), the mean gradient norm; and a fresh start.

        What was not seen (a quarter of which no t was drawn) is left out.
        """
        sums, (norm, steps) = ranks.all_reduce_sum(self.sums).cpu(), self.gradients.tolist()
        self.sums.zero_()
        self.gradients.zero_()
        figures = {"loss": sums[:, 0].sum() / sums[:, 1].sum(), "grad_norm": norm / max(1, steps)}
        figures |= {f"loss_q{i + 1}": total / count for i, (total, count) in enumerate(sums) if count > 0}
        self.counts = sums[:, 1].tolist()
        return {name: float(value) for name, value in figures.items() if math.isfinite(value)}

    def report(self, ranks: Ranks, grad_clip: float | None, warm: bool) -> tuple[dict[str, float], list[str]]:
        """The figures of a line of the log, and what is out of bounds in them."""
        figures = self.figures(ranks)
        return figures, self.complaints(figures, grad_clip, warm)

    def complaints(self, figures: dict[str, float], grad_clip: float | None, warm: bool) -> list[str]:
        """What is out of bounds in `figures`, in words. Until the training is `warm` nothing is, and nothing is the best."""
        said = []
        names = ["loss", "loss_q1", "loss_q2", "loss_q3", "loss_q4"]
        if not warm:
            return said
        for i, name in enumerate(names):
            value = figures.get(name)
            if value is None or (i > 0 and self.counts[i - 1] < QUARTER_LEAST):
                continue
            rise = LOSS_RISE if i == 0 else QUARTER_RISE
            if value > rise * self.best[i]:
                what = "the loss" if i == 0 else f"the loss in quarter {i} of t (1: least noise)"
                said.append(f"{what} has risen to {value:.4g} from {self.best[i]:.4g}: lower train.learning_rate")
            self.best[i] = min(self.best[i], value)
        if grad_clip is not None and figures["grad_norm"] > GRADIENT_CUT * grad_clip:
            said.append(
                f"the gradient's norm, {figures['grad_norm']:.3g}, is over {GRADIENT_CUT:.0f} times train.grad_clip: most of "
                "each step is cut off; lower train.learning_rate"
            )
        return said

    def state_dict(self) -> dict:
        """All of it, on the CPU."""
        tensors = {name: getattr(self, name).cpu() for name in ("sums", "gradients", "mishap")}
        return {**tensors, "best": list(self.best)}

    def load_state_dict(self, state: dict) -> None:
        """What `state_dict` gave."""
        for name in ("sums", "gradients", "mishap"):
            ours = getattr(self, name)
            setattr(self, name, state[name].to(ours.dtype).to(ours.device, copy=True))
        self.best = list(state["best"])


class ClippedShare:
    """A `sample` callback: how much of the predicted x_0 lay at or beyond the ends of [-1, 1], over all steps."""

    def __init__(self):
        self.total: Tensor | float = 0.0
        self.steps = 0

    def __call__(self, index: int, t: int, t_prev: int, x_t: Tensor, prediction: Prediction) -> None:
        self.total = self.total + (prediction.x_0.abs() >= 1).float().mean(dim=(1, 2, 3)).sum()
        self.steps += len(x_t)

    def sums(self) -> Tensor:
        """[the sum of the shares, their number], float64 on the CPU."""
        return torch.tensor([float(self.total), self.steps], dtype=torch.float64)


def picture_figures(pictures: Tensor | np.ndarray, prefix: str) -> dict[str, float]:
    """Mean and spread (standard deviation) of each channel, on [-1, 1]: uint8 (N, C, H, W) -> {prefix}_mean_0, ..."""
    values = to_float(torch.as_tensor(np.asarray(pictures))).transpose(0, 1).flatten(1)  # (C, N H W)
    figures = {f"{prefix}_mean_{channel}": row.mean().item() for channel, row in enumerate(values)}
    return figures | {f"{prefix}_spread_{channel}": row.std().item() for channel, row in enumerate(values)}


def data_figures(images: np.ndarray) -> dict[str, float]:
    """`picture_figures` of the data, and the share of its values that are black or white, which no clipping changes.

    images: uint8 (N, C, H, W), of which at most 2,048, evenly spread, are looked at.
    """
    some = np.ascontiguousarray(images[:: math.ceil(len(images) / DATA_PICTURES)])
    return picture_figures(some, "data") | {"data_clipped": float(((some == 0) | (some == 255)).mean())}


def picture_complaints(figures: dict[str, float]) -> list[str]:
    """What the drawn pictures have wrong beside the data, in words; `figures` holds `picture_figures` of both."""
    said, channels = [], sum(name.startswith("data_mean_") for name in figures)
    names = ["grey"] if channels == 1 else ["red", "green", "blue"]
    off = [figures[f"drawn_mean_{i}"] - figures[f"data_mean_{i}"] for i in range(channels)]
    if abs(sum(off)) / channels > MEAN_OFF:
        said.append(f"drawn pictures are {'lighter' if sum(off) > 0 else 'darker'} than the data")
    for name, value in zip(names, off):
        if abs(value - sum(off) / channels) > MEAN_OFF:
            said.append(f"drawn pictures are tinted: {'too much' if value > 0 else 'too little'} {name}")
    for i, name in enumerate(names):
        ratio = figures[f"drawn_spread_{i}"] / max(figures[f"data_spread_{i}"], 1e-6)
        if not 1 / SPREAD_OFF <= ratio <= SPREAD_OFF:
            what = "washed out" if ratio < 1 else "too contrasty"
            said.append(f"drawn pictures are {what}: the spread of {name} is {ratio:.2f} times the data's")
    if figures["clipped"] > figures["data_clipped"] + CLIPPED_MORE:
        said.append(f"{figures['clipped']:.0%} of x_0 is clipped while drawing: the network overshoots")
    return said
