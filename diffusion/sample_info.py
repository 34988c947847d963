"""The one string that names a sampler: METHOD_STEPS_ETA[_SPACING][_cfgSCALE][_rN], as in `DDIM_50_0p0`."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from diffusion.gaussian import GaussianDiffusion
from diffusion.schedules import SPACINGS

TUNED = "tuned"  # beside SPACINGS: the timesteps that were learned for a network, with this sampler
METHODS = ("DDPM", "DDIM", "DPMPP", "HEUN", "UNIPC", "EDM", "CM")
RULE = (
    "METHOD_STEPS_ETA, with p for the decimal point of eta, as in DDIM_50_0p0, "
    f"optionally followed by _SPACING ({', '.join(SPACINGS)}, {TUNED}) and _cfgSCALE, the scale of guidance, as in _cfg1p5, "
    "or _cfg1p5t200t800 to guide at timesteps 200 to 800 only; and, to fill in pictures, by _rN, each step N times, as in _r5"
)
DECIMALS = 20  # of eta and the scale, at most: their spelling names files
NUMBER = rf"([0-9]{{1,9}}p[0-9]{{1,{DECIMALS}}})"
PATTERN = re.compile(
    rf"([A-Z]+)_([0-9]{{1,9}})_{NUMBER}(?:_([A-Z]+))?(?:_cfg{NUMBER}(?:t([0-9]{{1,9}})t([0-9]{{1,9}}))?)?(?:_r([0-9]{{1,9}}))?",
    re.IGNORECASE | re.ASCII,
)
DETERMINISTIC = ("HEUN", "UNIPC")
WITH_ETA = ("DDIM", "DPMPP", "EDM")
LOOKS_TWICE = ("HEUN", "EDM")  # in every step but the last
MAX_SCALE = 100.0
MAX_RESAMPLINGS = 1000


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (Ho and Salimans 2022): unconditional + scale (conditional - unconditional).

    The scale is that of DiT and diffusers, the paper's w + 1: 1 is the conditional network alone, which costs one evaluation
    of the network where any other scale costs two. With an `interval`, the timesteps from its first to its last, both
    included, are guided, and the others are not (Kynkaanniemi et al. 2024).
    """

    scale: float = 1.0
    interval: tuple[int, int] | None = None

    def scale_at(self, t: int) -> float:
        """The scale at timestep t: 1 outside the interval."""
        guided = self.interval is None or self.interval[0] <= t <= self.interval[1]
        return self.scale if guided else 1.0

    def __str__(self) -> str:
        """As it stands in a sampler's string: `_cfg1p5`, `_cfg1p5t200t800`; nothing where nothing is guided."""
        if self.scale == 1:
            return ""
        return f"_cfg{_decimal(self.scale)}" + ("t{}t{}".format(*self.interval) if self.interval else "")


@dataclass(frozen=True)
class SampleInfo:
    """A sampler, completely: `method` (one of METHODS), `steps` (1 or more), `eta` (0 to 1), `spacing` of the timesteps.

    `eta` is the share of fresh noise (0: deterministic, 1: as much as DDPM) of DDIM and DPMPP, and of EDM's churn.
    DDPM ignores it; HEUN and UNIPC know no other than 0. For `spacing` see `timestep_pairs`; `tuned`: the timesteps that were
    learned for the network and this sampler, see `sampling.schedule`. `guidance` asks for a network with classes.
    `resamplings` is how often each jump is taken where pictures are filled in; elsewhere it is 1. See `sampling.inpainting`.
    """

    method: str
    steps: int
    eta: float
    spacing: str = "uniform"
    guidance: Guidance = Guidance()
    resamplings: int = 1

    @classmethod
    def parse(cls, text: str) -> "SampleInfo":
        """Reads `text`, in any case. ValueError names the text, the rule and the known methods."""

        def refuse(why: str) -> ValueError:
            shown = text if len(text) <= 80 else f"{text[:80]}..."
            return ValueError(f"sample_info {shown!r} {why}; it is written {RULE}; methods: {', '.join(METHODS)}")

        match = PATTERN.fullmatch(text)
        if match is None:
            raise refuse("cannot be read")
        method, steps, eta = match[1].upper(), int(match[2]), _number(match[3])
        spacing, scale = (match[4] or "uniform").lower(), _number(match[5] or "1p0")
        interval = (int(match[6]), int(match[7])) if match[6] else None
        resamplings = int(match[8] or 1)
        if method not in METHODS:
            raise refuse(f"names an unknown method, {match[1]}")
        if steps < 1:
            raise refuse("asks for no steps")
        if eta > 1:
            raise refuse(f"has an eta of {eta}, outside 0p0 to 1p0")
        if eta > 0 and method in DETERMINISTIC:
            raise refuse(f"has an eta of {eta}, and {method} is deterministic: 0p0")
        if spacing not in (*SPACINGS, TUNED):
            raise refuse(f"names an unknown spacing, {match[4]}")
        if scale > MAX_SCALE:
            raise refuse(f"has a scale of guidance of {scale:g}, above {MAX_SCALE:g}")
        if interval and interval[0] > interval[1]:
            raise refuse("guides in an interval that ends before it begins")
        if not 1 <= resamplings <= MAX_RESAMPLINGS:
            raise refuse(f"takes each step {resamplings} times, outside 1 to {MAX_RESAMPLINGS}")
        return cls(method, steps, eta, spacing, Guidance() if scale == 1 else Guidance(scale, interval), resamplings)

    def check_fits(self, timestep_num: int, num_classes: int) -> None:
        """ValueError, in one line, unless a network trained with so many timesteps and classes can be drawn from so."""
        if self.steps > timestep_num:
            raise ValueError(
                f"the number of sampling steps must be from 1 to the {timestep_num} of training, not {self.steps}"
            )
        if self.guidance.scale != 1 and num_classes == 0:
            plain = replace(self, guidance=Guidance())
            raise ValueError(f"{self} asks for guidance, and the network was trained without classes: leave it at {plain}")
        if self.guidance.interval and self.guidance.interval[1] >= timestep_num:
            raise ValueError(f"{self} guides at timesteps to {self.guidance.interval[1]}; the last is {timestep_num - 1}")

    @property
    def tuned_for(self) -> str:
        """By which name `tuned` timesteps are learned and kept: the sampler with its guidance, as in `DPMPP_6_0p0_cfg1p5`."""
        return str(replace(self, spacing="uniform", resamplings=1))

    def pairs_on(self, diffusion: GaussianDiffusion) -> list[tuple[int, int]]:
        """The jumps (t, t_prev) that it takes on the schedule of `diffusion`. ValueError if none were tuned that are to be.

        CM's are the first S of 2 S - 1 timesteps, and from there to the clean picture: every call adds to the errors of those
        before, and where little noise is left another has nothing to decide.
        """
        if self.method == "CM" and self.spacing != TUNED:
            pairs = diffusion.timestep_pairs(min(2 * self.steps - 1, diffusion.timestep_num), self.spacing)[: self.steps]
            return [*pairs[:-1], (pairs[-1][0], -1)]
        if self.spacing != TUNED:
            return diffusion.timestep_pairs(self.steps, self.spacing)
        self.check_tuned(diffusion.tuned_times)
        times = diffusion.tuned_times[self.tuned_for]
        return list(zip(times, [*times[1:], -1]))

    def check_tuned(self, tuned: Collection[str]) -> None:
        """ValueError, in one line, if it asks for tuned timesteps that are not among those of the samplers `tuned`."""
        if self.spacing == TUNED and self.tuned_for not in tuned:
            there = f"there are those of {', '.join(sorted(tuned))}" if tuned else "there are none"
            raise ValueError(f"{self}: no timesteps were tuned for {self.tuned_for}; {there}; see python -m sampling.schedule")

    def check_times(self, times: Sequence[int], timestep_num: int) -> None:
        """ValueError unless `times` are timesteps that it can take: one a step, falling from `timestep_num` - 1."""
        falling = all(t > following for t, following in zip(times, [*times[1:], -1]))
        if not falling or len(times) != self.steps or times[0] != timestep_num - 1:
            wanted = f"{self.steps} numbers that fall from {timestep_num - 1} to 0 or more"
            raise ValueError(f"the tuned times of {self} must be {wanted}")

    def walk(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The jumps in the order in which they are taken: each `resamplings` times, but once the last, which ends clean."""
        return [(t, t_prev) for t, t_prev in pairs for _ in range(self.resamplings if t_prev >= 0 else 1)]

    @property
    def network_calls(self) -> int:
        """How often the network is evaluated for a picture, where no interval leaves some of them unguided.

        HEUN and EDM look twice in every step but the last; guidance doubles. With an interval it is an upper bound, as what is
        guided depends on the timesteps: `network_calls_on` counts them.
        """
        jumps = (self.steps - 1) * self.resamplings + 1
        looks = 2 * jumps - 1 if self.method in LOOKS_TWICE else jumps
        return looks if self.guidance.scale == 1 else 2 * looks

    def network_calls_on(self, pairs: Sequence[tuple[int, int]]) -> int:
        """How often the network is evaluated for a picture on these jumps (t, t_prev): exactly, but where EDM's churn takes a
        step across the end of an interval."""
        jumps = self.walk(pairs)
        looks = [t for t, _ in jumps]
        if self.method in LOOKS_TWICE:
            looks += [t_prev for _, t_prev in jumps if t_prev >= 0]
        return sum(1 if self.guidance.scale_at(t) == 1 else 2 for t in looks)

    @property
    def adds_noise(self) -> bool:
        """Whether its steps add fresh noise, so that the same x_T leads to several pictures."""
        return self.method in ("DDPM", "CM") or self.eta > 0

    @property
    def label(self) -> str:
        """The sampler without its steps, for people: what a row of a comparison has in common, as in `DDIM eta 0.5 quad`."""
        eta = [f"eta {self.eta:g}"] if self.method in WITH_ETA else []
        spacing = [] if self.spacing == "uniform" else [self.spacing]
        guidance = [] if self.guidance.scale == 1 else [f"cfg {self.guidance.scale:g}"]
        interval = ["t {}-{}".format(*self.guidance.interval)] if self.guidance.interval else []
        resamplings = [] if self.resamplings == 1 else [f"each step {self.resamplings} times"]
        return " ".join([self.method, *eta, *spacing, *guidance, *interval, *resamplings])

    def __str__(self) -> str:
        """The canonical spelling, which also names the files: `SampleInfo.parse(str(info)) == info`."""
        spacing = "" if self.spacing == "uniform" else f"_{self.spacing}"
        resamplings = "" if self.resamplings == 1 else f"_r{self.resamplings}"
        return f"{self.method}_{self.steps}_{_decimal(self.eta)}{spacing}{self.guidance}{resamplings}"


def _number(text: str) -> float:
    """0p25 -> 0.25."""
    return float(text.lower().replace("p", "."))


def _decimal(value: float) -> str:
    """0.25 -> 0p25, without an exponent however small it is."""
    digits = f"{round(Decimal(str(value)), DECIMALS):f}".rstrip("0")
    return (digits + "0" if digits.endswith(".") else digits).replace(".", "p")
