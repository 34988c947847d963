"""Students: networks that jump far along the way on which their teacher takes short steps.

A student's estimate of x_0 is what leads x_t in one jump of DDIM to where its teacher's ODE is at some t_end; at the clean end,
t_end = -1, it is the finished picture. It learns that from two jumps, t -> between -> t_end, whose end one jump has to reach:

    consistency             the first by the teacher, the second by the student as it is (Song et al. 2023, Alg. 2)
    consistency_training    the first by x_0 and the noise of which x_t is made (ibid., Alg. 3; Geng et al. 2024)

With several t_end, each that of a segment of the timesteps, the first is multistep consistency (Heek et al. 2024).
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.gaussian import GaussianDiffusion, Prediction, like
from diffusion.sample_info import SampleInfo
from diffusion.schedules import timestep_pairs

KINDS = ("consistency", "consistency_training")
COARSEST, FINEST = 8, 128  # the first of the two jumps is T over it long: at the start of the training, at its end

Estimate = Callable[[Tensor, Tensor], Prediction]  # (x_t, t) -> x_0 and the noise


class Student(NamedTuple):
    """What a distilled network has learned, and so how it is drawn from. kind: one of KINDS; steps: the jumps of its way."""

    kind: str
    steps: int = 1

    @property
    def any_start(self) -> bool:
        """Whether it finds the finished picture from any timestep, so that CM draws from it in any number of steps."""
        return self.steps == 1

    @property
    def samplers(self) -> str:
        """What it draws with, in words."""
        return "CM_1_0p0, CM_2_0p0, CM_4_0p0 and so on" if self.any_start else f"DDIM_{self.steps}_0p0"

    @property
    def sampler(self) -> str:
        """What it draws with unless another sampler is asked for."""
        return "CM_4_0p0" if self.any_start else f"DDIM_{self.steps}_0p0"


def why_not(info: SampleInfo, student: Student | None) -> str | None:
    """Why `info` does not draw from a network that is this student, or, None, no student, in one line; None where it does."""
    if student is None:
        wrong = f"{info} draws from a student of consistency, and the network is none: see train.student"
        return wrong if info.method == "CM" else None
    if info.guidance.scale != 1:
        return f"{info} asks for guidance, and a student draws without: leave _cfg out"
    wanted = ("CM", info.steps, info.spacing) if student.any_start else ("DDIM", student.steps, "uniform")
    if (info.method, info.steps, info.spacing) != wanted or info.eta > 0:
        return f"{info} cannot draw from a student of train.student {student.kind}: it takes {student.samplers}"
    return None


def check_student(info: SampleInfo, students: Collection[Student | None]) -> None:
    """ValueError, in one line, unless `info` draws from one of these, each a student or None for a network that is none."""
    reasons = [why_not(info, student) for student in students]
    if all(reasons):
        raise ValueError(reasons[0])


def jump_ends(steps: int, t: Tensor, timestep_num: int, done: float) -> tuple[Tensor, Tensor]:
    """`between` and `t_end` of the jumps that a student of so many `steps` learns from, (B,) each, for timesteps `t`, (B,).

    done: the share of the training that is done, 0 to 1. With it the first jump is halved from T / 8 to T / 128, but ends no
    later than at t_end, where the jump of a sampler of `steps` ends that begins at t or first above it. (Shorter jumps as
    training goes on: Geng et al. 2024; halved in equal parts of it, as Song and Dhariwal 2023, Sec. 3.4, double their steps.)
    """
    stages = (FINEST // COARSEST).bit_length()
    jumps = COARSEST * 2 ** min(int(done * stages), stages - 1)
    ends = torch.tensor([end for _, end in timestep_pairs(timestep_num, steps)][::-1], device=t.device)  # rising from -1
    t_end = ends[torch.searchsorted(ends, t) - 1]
    return torch.maximum(t - max(1, timestep_num // jumps), t_end), t_end


def student_target(
    diffusion: GaussianDiffusion,
    start: Prediction,
    times: Sequence[Tensor],
    teacher: Estimate | None,
    student: Estimate,
) -> Tensor:
    """The x_0 that the student is to estimate at t, (B, C, H, W), without gradient.

    start: the picture and the noise of which x_t is made. times: t, between and t_end, see `jump_ends`. teacher: None for
    consistency_training, which needs none.
    """
    t, between, t_end = times
    x_t = diffusion.q_sample(start.x_0, t, start.noise)
    with torch.no_grad():
        first = start if teacher is None else teacher(x_t, t)
        x_between = diffusion.q_sample(first.x_0, between, first.noise)
        second = student(x_between, between.clamp(min=0))
        return torch.lerp(second.x_0, first.x_0, like(first_share(diffusion, *times), x_t))


def first_share(diffusion: GaussianDiffusion, t: Tensor, between: Tensor, t_end: Tensor) -> Tensor:
    """The share w of the first jump, (B, 1, 1, 1): one jump by w x_0 + (1 - w) x_0' leads where the two by x_0 and x_0' lead.

    A jump of DDIM, x_s / sigma_s = x_t / sigma_t + (r_s - r_t) x_0 with r = signal / sigma, adds up: w = (r_between - r_t) /
    (r_end - r_t). At the clean end r is infinite, and the second jump alone counts. (Salimans and Ho 2022, Alg. 2, line 12.)
    """
    r_t, r_between, r_end = ((ab / (1 - ab)).sqrt() for ab in (diffusion.alpha_bar(time) for time in (t, between, t_end)))
    share = (r_between - r_t) / (r_end - r_t)
    return torch.where((between == t_end).view(share.shape), torch.ones_like(share), share)
