"""Settings that do not fit each other, told in one line before any picture is touched."""

from collections.abc import Mapping, Sequence

from diffusion import Guidance, SampleInfo
from utils.shapes import Size, check_resize
from utils.train_settings import TrainSettings


def check_data(source: str, data_path: str | None, image_size: Size, crop: str, resize: Size | None) -> None:
    """ValueError unless the keys of the data block fit each other."""
    check_resize(image_size, crop, resize)
    if source == "folder" and data_path is None:
        raise ValueError("data.data_path is missing: the folder of pictures, or a file that holds them")


def read_guidance(text: str | None) -> Guidance:
    """train.teacher_guidance, as in a sampler's string; None: no guidance. ValueError if it is none."""
    if text is None:
        return Guidance()
    try:
        guidance = SampleInfo.parse(f"DDIM_1_0p0_{text}").guidance
    except ValueError:
        guidance = Guidance()
    if str(guidance) != f"_{text}":  # another end of a sampler's string, or a scale of 1, is none
        raise ValueError(f"train.teacher_guidance {text[:80]!r} is no guidance; it is written cfg1p5 or cfg1p5t200t800")
    return guidance


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


def check_teaching(train: TrainSettings, timestep_num: int, objective: str, weighting: str, num_classes: int) -> None:
    """ValueError unless teacher and student are both there or neither, and the teacher's network can be taught so."""
    if (train.teacher is None) != (train.student is None):
        raise ValueError("train.teacher and train.student belong together: set both or neither")
    guidance = read_guidance(train.teacher_guidance)
    if guidance.scale != 1 and train.student != "consistency":
        raise ValueError("train.teacher_guidance belongs to train.student consistency, which asks the teacher; leave it out")
    if train.student is None:
        if train.student_steps != 1:
            raise ValueError("train.student_steps belongs to train.student: set that too, or leave it out")
        return
    if train.student_steps > timestep_num:
        raise ValueError(f"train.student_steps {train.student_steps}: the teacher knows {timestep_num} steps of noise")
    if guidance.scale != 1 and num_classes == 0:
        raise ValueError("train.teacher_guidance needs a teacher with classes, and this one has none; leave it out")
    if guidance.interval and guidance.interval[1] >= timestep_num:
        raise ValueError(f"train.teacher_guidance guides to timestep {guidance.interval[1]}; the last is {timestep_num - 1}")
    if objective == "pred_noise":
        raise ValueError(
            "train.student needs a teacher of another diffusion.objective than pred_noise: where all is noise, its picture "
            "cannot be read from it; pred_v is the nearest"
        )
    if weighting != "none":
        raise ValueError(f"diffusion.weighting {weighting} is not for a student, whose loss has none: set none")
