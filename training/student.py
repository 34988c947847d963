"""A training of a student: who teaches it, and what it is to estimate at each step. See `diffusion.distillation`."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from diffusion import GaussianDiffusion, Guidance, Prediction
from diffusion.distillation import Student, jump_ends, student_target
from sampling.network import Network, sampling_network
from sampling.trained import load_trained
from utils.checkpoints import Checkpoint, digest


class Teaching(NamedTuple):
    """What a student learns from.

    student: what the network is to become. teacher: the network that is asked, (x_t, t, y) -> output, of `num_classes`, with
    `guidance`; None where the pictures teach alone. digest: of what the teacher's answers, or the first weights, depend on.
    done_at: a step -> the share of the training that is done before it.
    """

    student: Student
    teacher: Network | None
    num_classes: int
    guidance: Guidance
    digest: str
    done_at: Callable[[int], float]

    @classmethod
    def by(
        cls,
        teacher: Checkpoint,
        path: str,
        student: Student,
        *,
        guidance: Guidance,
        device: torch.device,
        precision: str,
        done_at: Callable[[int], float],
    ) -> "Teaching":
        """What a `teacher`, read from `path`, has to teach on `device`, asked with `guidance`."""
        if student.kind == "consistency_training":
            return cls(student, None, 0, Guidance(), digest(teacher.state_dict), done_at)
        trained = load_trained(teacher, path, device, precision)
        known = digest([teacher.state_dict, str(guidance)])
        return cls(student, trained.network, trained.num_classes, guidance, known, done_at)

    def times(self, t: Tensor, timestep_num: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """t, and where the jumps of the batch's pictures end, (B,) each; see `jump_ends`."""
        return t, *jump_ends(self.student, t, timestep_num, self.done_at(step))

    def target(
        self,
        diffusion: GaussianDiffusion,
        student: Network,
        x_0: Tensor,
        noise: Tensor,
        times: Sequence[Tensor],
        labels: Tensor | None,
    ) -> Tensor:
        """What `student`, (x_t, t) -> output, is to estimate at the first of the times, (B, C, H, W); see `student_target`.

        x_0, noise: (B, C, H, W), of which x_t is made; times: as of `times`, (B,) each; labels: (B,), or None without classes.
        """

        def estimates(network: Network) -> Callable[[Tensor, Tensor], Prediction]:
            return lambda x_t, t: diffusion.predict(network(x_t, t).to(x_t.dtype), x_t, t)

        teacher = None
        if self.teacher is not None:
            asked = {"labels": labels, "num_classes": self.num_classes, "guidance": self.guidance}
            teacher = estimates(sampling_network(self.teacher, diffusion, **asked))
        return student_target(diffusion, Prediction(x_0, noise), times, teacher, estimates(student))
