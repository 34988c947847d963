"""Students: networks that jump far along the way on which their teacher takes short steps.

A student's estimate of x_0 is what leads x_t in one jump of DDIM to where its teacher's ODE is at some t_end; at the clean end,
t_end = -1, it is the finished picture. It learns that from two jumps, t -> between -> t_end, whose end one jump has to reach:

    consistency             the first by the teacher, in a step of Heun's (Song et al. 2023, Alg. 2)
    consistency_training    the first by x_0 and the noise of which x_t is made (ibid., Alg. 3; Geng et al. 2024)

The second is by the student as it is. With several t_end, each that of a segment of the timesteps, the first is multistep
consistency (Heek et al. 2024).
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion.gaussian import GaussianDiffusion, Prediction, like
from diffusion.sample_info import SampleInfo
from diffusion.schedules import timestep_pairs


class Jumps(NamedTuple):
    """How long the first of the two jumps is: a share `1 / n` of all T, times ((t + 1) / T)^`power`.

    n: doubled from `coarsest`, at the start of the training, to `finest`, in equal parts of it.
    """

    coarsest: int
    finest: int
    power: float


# A long step of a teacher is nearly right, except at little noise. A picture's own noise stands for a mean over many, and each
# jump by it smooths: these have to be short.
JUMPS = {"consistency": Jumps(4, 16, 0.5), "consistency_training": Jumps(8, 128, 0.0)}
KINDS = tuple(JUMPS)

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


def jump_ends(student: Student, t: Tensor, timestep_num: int, done: float) -> tuple[Tensor, Tensor]:
    """`between` and `t_end` of the jumps that a student learns from, (B,) each, for timesteps `t`, (B,).

    done: the share of the training that is done, 0 to 1. With it the first jump becomes shorter, see `Jumps`, but ends no
    later than at t_end, where the jump of a sampler of `student.steps` ends that begins at t or first above it. (Shorter as
    training goes on: Geng et al. 2024; halved in equal parts of it, as Song and Dhariwal 2023, Sec. 3.4, double their steps.)
    """
    coarsest, finest, power = JUMPS[student.kind]
    stages = (finest // coarsest).bit_length()
    jumps = coarsest * 2 ** min(int(done * stages), stages - 1)
    ends = torch.tensor([end for _, end in timestep_pairs(timestep_num, student.steps)][::-1], device=t.device)  # from -1 up
    t_end = ends[torch.searchsorted(ends, t) - 1]
    length = (timestep_num / jumps * ((t + 1) / timestep_num) ** power).long().clamp(min=1)
    return torch.maximum(t - length, t_end), t_end


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
        first = start if teacher is None else heun_estimate(diffusion, teacher, x_t, t, between)
        x_between = diffusion.q_sample(first.x_0, between, first.noise)
        second = student(x_between, between.clamp(min=0))
        return torch.lerp(second.x_0, first.x_0, like(first_share(diffusion, *times), x_t))


def heun_estimate(diffusion: GaussianDiffusion, teacher: Estimate, x_t: Tensor, t: Tensor, between: Tensor) -> Prediction:
    """The x_0 and the noise by which one jump of DDIM leads from t to `between` as a step of Heun's does, (B, C, H, W) each.

    See `diffusion.samplers.heun`, whose step is this: x_0 runs in a straight line of lambda to what the teacher estimates at
    the end. Where that is the clean picture the first estimate counts alone; where t has no signal, the last (the sampler takes
    a lambda of -20 there).
    """
    first = teacher(x_t, t)
    end = between.clamp(min=0)
    ahead = teacher(diffusion.q_sample(first.x_0, end, first.noise), end)
    alpha_bar, at_end = diffusion.alpha_bar(t), diffusion.alpha_bar(end)
    h = 0.5 * (torch.log(at_end / (1 - at_end)) - torch.log(alpha_bar / (1 - alpha_bar)))
    share = torch.where(h == 0, 0.5, -1 / torch.expm1(-h) - 1 / h)
    share = torch.where(diffusion.alpha_bar(between) == 1, 0.0, share)
    x_0 = torch.lerp(first.x_0, ahead.x_0, like(share, x_t))
    return Prediction(x_0, (x_t - like(alpha_bar.sqrt(), x_t) * x_0) / like((1 - alpha_bar).sqrt(), x_t))


def first_share(diffusion: GaussianDiffusion, t: Tensor, between: Tensor, t_end: Tensor) -> Tensor:
    """The share w of the first jump, (B, 1, 1, 1): one jump by w x_0 + (1 - w) x_0' leads where the two by x_0 and x_0' lead.

    A jump of DDIM, x_s / sigma_s = x_t / sigma_t + (r_s - r_t) x_0 with r = signal / sigma, adds up: w = (r_between - r_t) /
    (r_end - r_t). At the clean end r is infinite, and the second jump alone counts. (Salimans and Ho 2022, Alg. 2, line 12.)
    """
    r_t, r_between, r_end = ((ab / (1 - ab)).sqrt() for ab in (diffusion.alpha_bar(time) for time in (t, between, t_end)))
    share = (r_between - r_t) / (r_end - r_t)
    return torch.where(r_between == r_end, 1.0, share)
