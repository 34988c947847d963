"""Settings that do not fit each other, told in one line before any picture is touched."""

from collections.abc import Mapping, Sequence

from diffusion import SampleInfo
from utils.shapes import Size, check_resize


def check_data(source: str, data_path: str | None, image_size: Size, crop: str, resize: Size | None) -> None:
    """ValueError unless the keys of the data block fit each other."""
    check_resize(image_size, crop, resize)
    if source == "folder" and data_path is None:
        raise ValueError("data.data_path is missing: the folder of pictures, or a file that holds them")


def check_given_betas(beta_schedule: str, betas: Sequence[float] | None, timestep_num: int) -> None:
    """ValueError unless betas are given where they are asked for, as many as there are timesteps."""
    if (beta_schedule == "given") != (betas is not None):
        raise ValueError("diffusion.betas belongs to diffusion.beta_schedule given, and that to it: set both or neither")
    if betas is not None and len(betas) != timestep_num:
        raise ValueError(f"diffusion.betas has {len(betas)} of the timestep_num {timestep_num}")


def check_spreads(spreads: Mapping[str, Sequence[float] | None]) -> None:
    """ValueError for more than one distribution of the timesteps, or one that does not spread; by the names of their keys."""
    given = [name for name, spread in spreads.items() if spread is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(f'train.{name}' for name in given)} exclude each other: set one to null")
    for name in given:
        if spreads[name][1] <= 0:
            raise ValueError(f"train.{name}: the standard deviation, its second number, must be above 0")


def check_tuned_times(sampler: SampleInfo, tuned_times: Mapping[str, Sequence[int]], timestep_num: int) -> None:
    """ValueError unless the sampler's timesteps are there, if it asks for tuned ones, and all of them can be taken."""
    sampler.check_tuned(tuned_times)
    for name, times in tuned_times.items():
        SampleInfo.parse(name).check_times(times, timestep_num)


def check_teaching(
    teacher: str | None, student: str | None, student_steps: int, timestep_num: int, objective: str, weighting: str
) -> None:
    """ValueError unless teacher and student are both there or neither, and the teacher's network can be taught so."""
    if (teacher is None) != (student is None):
        raise ValueError("train.teacher and train.student belong together: set both or neither")
    if student is None:
        if student_steps != 1:
            raise ValueError("train.student_steps belongs to train.student: set that too, or leave it out")
        return
    if student_steps > timestep_num:
        raise ValueError(f"train.student_steps {student_steps}: the teacher knows {timestep_num} steps of noise")
    if objective == "pred_noise":
        raise ValueError(
            "train.student needs a teacher of another diffusion.objective than pred_noise: where all is noise, its picture "
            "cannot be read from it; pred_v is the nearest"
        )
    if weighting != "none":
        raise ValueError(f"diffusion.weighting {weighting} is not for a student, whose loss has none: set none")
