"""How much a visitor may ask for. The browser's controls say so too, but it is here that it is kept."""

import sys
from collections.abc import Sequence
from typing import NamedTuple

from diffusion import SampleInfo
from page.refusals import refused, refused_sampler
from sampling import Trained, parse_sampler
from sampling.labels import classes_asked_for
from utils.classes import LONGEST_NAME
from utils.errors import RequestError

LARGEST_TIME = 100_000  # more timesteps no network is trained with
LARGEST_SEED = 2**53 - 2**20  # beyond 2^53 the browser's numbers are not whole any more
MAX_ROWS = 6  # of Compare
KEPT_BYTES = 8 * 2**20  # of a visitor's denoising, for the slider


class Limits(NamedTuple):
    """pictures: at a time; steps: of a sampler; evaluations: pictures times network calls; side: of a picture, in pixels."""

    pictures: int = 64
    steps: int = 1000
    evaluations: int = 20_000
    side: int = 256


def whole(value: object, least: int, most: int, control: str) -> int:
    """`value` as the whole number that a control gives. RequestError unless it is one, within the bounds.

    `control`: the key in `words.WORDS` by which it is called on the page."""
    if not _is_number(value) or value != int(value) or not least <= value <= most:
        raise refused("whole", control=control, least=least, most=most)
    return int(value)


def finite(value: object, control: str) -> float:
    """`value` as the number that a control gives, see `whole`. RequestError unless it is one, and finite."""
    if not _is_number(value):
        raise refused("number", control=control)
    return float(value)


def share(value: object, control: str) -> float:
    """As `finite`. RequestError unless it is above 0 and at most 1."""
    if not 0 < (found := finite(value, control)) <= 1:
        raise refused("share", control=control)
    return found


def classes_within(label: object, num_classes: int, names: Sequence[str]) -> list[int]:
    """The classes that `label` names, by number or by name, or all. RequestError if the network has none, or not these."""
    if not isinstance(label, str) or len(label) > LONGEST_NAME:
        raise refused("class_list")
    if num_classes == 0:
        raise refused("no_classes")
    try:
        return classes_asked_for(label, num_classes, names)
    except RequestError:
        raise refused("no_class", label=label, last=num_classes - 1) from None


def sampler_within(limits: Limits, text: object, trained: Trained, *, resamples: bool = False) -> SampleInfo:
    """The sampler that `text` names, if so many steps are allowed. RequestError if not, or where it does not fit."""
    if not isinstance(text, str):
        raise refused("sampler")
    try:
        tuned = trained.diffusion.tuned_times
        info = parse_sampler(text.strip(), trained.diffusion.timestep_num, trained.num_classes, tuned, [trained.student])
    except RequestError as error:
        raise refused_sampler(str(error).removeprefix("--sample_info: ")) from None
    steps = info.steps * info.resamplings
    if steps > limits.steps:
        raise refused("too_many_steps", info=info, steps=steps, most=limits.steps)
    if info.resamplings != 1 and not resamples:
        raise refused("resamples", info=info, resamplings=info.resamplings)
    return info


def check_work(limits: Limits, pictures: int, calls: int) -> None:
    """RequestError if so many `pictures` at so many network `calls` each are more than is allowed at a time."""
    if pictures * calls > limits.evaluations:
        raise refused("too_much", pictures=pictures, calls=calls, all=pictures * calls, most=limits.evaluations)


def _is_number(value: object) -> bool:
    """Whether it is one that floats hold: neither infinite nor none, nor of a thousand digits."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
