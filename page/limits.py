"""How much a visitor may ask for. The browser's controls say so too, but it is here that it is kept."""

import math
from typing import NamedTuple

from diffusion import SampleInfo
from sampling import Trained, parse_sampler
from utils.errors import RequestError

LARGEST_SEED = 2**53 - 2**20  # beyond 2^53 the browser's numbers are not whole any more
MAX_ROWS = 6  # of Compare
KEPT_BYTES = 8 * 2**20  # of a visitor's denoising, for the slider


class Limits(NamedTuple):
    """pictures: at a time; steps: of a sampler; evaluations: pictures times network calls; side: of a picture, in pixels."""

    pictures: int = 64
    steps: int = 1000
    evaluations: int = 20_000
    side: int = 256


def whole(value: object, least: int, most: int, name: str) -> int:
    """`value` as the whole number that a control named `name` gives. RequestError unless it is one, within the bounds."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value != int(value) or not least <= value <= most:
        raise RequestError(f"{name}: a whole number from {least:,} to {most:,}, please")
    return int(value)


def sampler_within(limits: Limits, text: object, trained: Trained, *, resamples: bool = False) -> SampleInfo:
    """The sampler that `text` names, if so many steps are allowed. RequestError if not, or where it does not fit."""
    if not isinstance(text, str):
        raise RequestError("the sampler is a string, as in DDIM_50_0p0")
    try:
        info = parse_sampler(text.strip(), trained.diffusion.timestep_num, trained.num_classes, trained.diffusion.tuned_times)
    except RequestError as error:
        raise RequestError(str(error).removeprefix("--sample_info: ")) from None
    if info.steps * info.resamplings > limits.steps:
        raise RequestError(f"{info} takes {info.steps * info.resamplings:,} steps; this page allows {limits.steps:,}")
    if info.resamplings != 1 and not resamples:
        raise RequestError(f"{info}: _r{info.resamplings} is for filling in pictures; leave it out here")
    return info


def check_work(limits: Limits, pictures: int, calls: int) -> None:
    """RequestError if so many `pictures` at so many network `calls` each are more than is allowed at a time."""
    if pictures * calls > limits.evaluations:
        raise RequestError(
            f"{pictures:,} pictures of {calls:,} network calls each are {pictures * calls:,}; this page allows "
            f"{limits.evaluations:,}: take fewer pictures or fewer steps"
        )
