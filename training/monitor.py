"""A training's monitor: a few figures that show early what goes wrong, and warnings that say what they mean.

Its sums stay on the device, and only the writing of a log line waits for them.
"""

import math

import torch
from torch import Tensor

from utils.device import float64_on
from utils.distributed import Ranks

NEVER = 2**62  # the nonfinite step, as long as there was none
LOSS_RISE = 2.0  # times the lowest mean loss so far
QUARTER_RISE, QUARTER_LEAST = 4.0, 64  # a quarter of t has fewer losses, and so more noise: looked at from so many on
GRADIENT_CUT = 10.0  # times the largest norm that is let through
# The names of the monitor's state in states of before they were renamed.
OLD_NAMES = {"sums": "loss_sums", "gradients": "gradient_sums", "mishap": "nonfinite_step"}


class TrainingMonitor:
    """What a training has shown since the last line of the log, and its best so far. Part of the training's state."""

    def __init__(self, timestep_num: int, device: torch.device):
        self.timestep_num = timestep_num
        exact = float64_on(device)
        self.loss_sums = torch.zeros(4, 2, dtype=exact, device=device)  # of each quarter of t: (sum, count)
        self.gradient_sums = torch.zeros(2, dtype=exact, device=device)  # of the gradient's norm: (sum, count)
        self.nonfinite_step = torch.tensor(NEVER, device=device)  # the first step whose gradient was not finite
        self.counts = [0.0] * 4  # how many losses each quarter had in the last figures
        self.best = [math.inf] * 5  # the lowest mean losses so far: all t, and each quarter

    def note_losses(self, t: Tensor, losses: Tensor) -> None:
        """Takes the losses (B,) of the timesteps t (B,). One that is not finite is not counted."""
        finite = losses.isfinite()
        rows = torch.stack([torch.where(finite, losses, 0), finite], dim=1).to(self.loss_sums.dtype)  # (B, 2)
        self.loss_sums.index_add_(0, t * 4 // self.timestep_num, rows)

    def note_gradient(self, step: int, norm: Tensor, *, scaled: bool) -> None:
        """Takes the norm of a step's whole gradient. If it is `scaled` (fp16), one that is not finite is no fault: the
        gradient scaler leaves that update out and lowers its scale."""
        finite = norm.isfinite()
        self.gradient_sums += torch.stack([torch.where(finite, norm, 0), finite]).to(self.gradient_sums.dtype)
        if not scaled:
            self.nonfinite_step = torch.where(finite, self.nonfinite_step, self.nonfinite_step.clamp(max=step))

    def first_nonfinite_step(self) -> int | None:
        """The first step whose gradient was not finite. The gradient is every rank's, and so is the answer."""
        step = int(self.nonfinite_step)
        return None if step == NEVER else step

    def figures(self, ranks: Ranks) -> dict[str, float]:
        """The mean loss, that of each quarter of t (q1 has the least noise), the mean gradient norm; the sums begin anew.

        What was not seen (a quarter of which no t was drawn) is left out.
        """
        sums, (norm, steps) = ranks.all_reduce_sum(self.loss_sums).cpu(), self.gradient_sums.tolist()
        self.loss_sums.zero_()
        self.gradient_sums.zero_()
        figures = {"loss": sums[:, 0].sum() / sums[:, 1].sum(), "grad_norm": norm / max(1, steps)}
        figures |= {f"loss_q{i + 1}": total / count for i, (total, count) in enumerate(sums) if count > 0}
        self.counts = sums[:, 1].tolist()
        return {name: float(value) for name, value in figures.items() if math.isfinite(value)}

    def warnings(self, figures: dict[str, float], grad_clip: float | None, is_warmed_up: bool) -> list[str]:
        """What is out of bounds in `figures`, in words. Before the warm-up is over nothing is, and nothing is the best."""
        if not is_warmed_up:
            return []
        warnings = []
        names = ["loss", "loss_q1", "loss_q2", "loss_q3", "loss_q4"]
        for i, name in enumerate(names):
            value = figures.get(name)
            if value is None or (i > 0 and self.counts[i - 1] < QUARTER_LEAST):
                continue
            rise = LOSS_RISE if i == 0 else QUARTER_RISE
            if value > rise * self.best[i]:
                what = "the loss" if i == 0 else f"the loss in quarter {i} of t (1: least noise)"
                warnings.append(f"{what} has risen to {value:.4g} from {self.best[i]:.4g}: lower train.learning_rate")
            self.best[i] = min(self.best[i], value)
        if grad_clip is not None and figures["grad_norm"] > GRADIENT_CUT * grad_clip:
            warnings.append(
                f"the gradient's norm, {figures['grad_norm']:.3g}, is over {GRADIENT_CUT:.0f} times train.grad_clip: most of "
                "each step is cut off; lower train.learning_rate"
            )
        return warnings

    def state_dict(self) -> dict:
        """All of it, on the CPU."""
        tensors = {name: getattr(self, name).cpu() for name in OLD_NAMES.values()}
        return {**tensors, "best": list(self.best)}

    def load_state_dict(self, state: dict) -> None:
        """What `state_dict` gave; also that of before its parts were renamed."""
        named = {OLD_NAMES.get(name, name): value for name, value in state.items()}
        ours = {name: getattr(self, name) for name in OLD_NAMES.values()}
        tensors = {name: named[name].to(tensor.dtype).to(tensor.device, copy=True) for name, tensor in ours.items()}
        self.best = list(named["best"])
        for name, tensor in tensors.items():
            setattr(self, name, tensor)
