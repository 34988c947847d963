"""The one string that names a sampler: METHOD_STEPS_ETA, as in `DDIM_50_0p0`, or METHOD_STEPS_ETA_SPACING."""

import re
from dataclasses import dataclass
from decimal import Decimal

from diffusion.schedules import SPACINGS

METHODS = ("DDPM", "DDIM", "DPMPP", "HEUN", "UNIPC")
RULE = (
    "METHOD_STEPS_ETA, with p for the decimal point of eta, as in DDIM_50_0p0, "
    f"optionally followed by _SPACING ({', '.join(SPACINGS)})"
)
DECIMALS = 20  # of eta, at most: its spelling names files
PATTERN = re.compile(
    rf"([A-Z]+)_([0-9]{{1,9}})_([0-9]{{1,9}}p[0-9]{{1,{DECIMALS}}})(?:_([A-Z]+))?", re.IGNORECASE | re.ASCII
)
DETERMINISTIC = ("HEUN", "UNIPC")


@dataclass(frozen=True)
class SampleInfo:
    """A sampler, completely: `method` (one of METHODS), `steps` (1 or more), `eta` (0 to 1), `spacing` of the timesteps.

    `eta` is the share of fresh noise (0: deterministic, 1: as much as DDPM) of DDIM and DPMPP. DDPM ignores it; HEUN and
    UNIPC know no other than 0. For `spacing` see `timestep_pairs`.
    """

    method: str
    steps: int
    eta: float
    spacing: str = "uniform"

    @classmethod
    def parse(cls, text: str) -> "SampleInfo":
        """Reads `text`, in any case. ValueError names the text, the rule and the known methods."""

        def refuse(why: str) -> ValueError:
            shown = text if len(text) <= 80 else f"{text[:80]}..."
            return ValueError(f"sample_info {shown!r} {why}; it is written {RULE}; methods: {', '.join(METHODS)}")

        match = PATTERN.fullmatch(text)
        if match is None:
            raise refuse("cannot be read")
        method, steps, eta = match[1].upper(), int(match[2]), float(match[3].lower().replace("p", "."))
        spacing = (match[4] or "uniform").lower()
        if method not in METHODS:
            raise refuse(f"names an unknown method, {match[1]}")
        if steps < 1:
            raise refuse("asks for no steps")
        if eta > 1:
            raise refuse(f"has an eta of {eta}, outside 0p0 to 1p0")
        if eta > 0 and method in DETERMINISTIC:
            raise refuse(f"has an eta of {eta}, and {method} is deterministic: 0p0")
        if spacing not in SPACINGS:
            raise refuse(f"names an unknown spacing, {match[4]}")
        return cls(method, steps, eta, spacing)

    @property
    def network_calls(self) -> int:
        """How often the network is called for a picture: HEUN looks twice in every step but the last."""
        return 2 * self.steps - 1 if self.method == "HEUN" else self.steps

    @property
    def adds_noise(self) -> bool:
        """Whether its steps add fresh noise, so that the same x_T leads to several pictures."""
        return self.method == "DDPM" or self.eta > 0

    @property
    def label(self) -> str:
        """The sampler without its steps, for people: what a row of a comparison has in common, as in `DDIM eta 0.5 quad`."""
        eta = [f"eta {self.eta:g}"] if self.method in ("DDIM", "DPMPP") else []
        return " ".join([self.method, *eta, *([] if self.spacing == "uniform" else [self.spacing])])

    def __str__(self) -> str:
        """The canonical spelling, which also names the files: `SampleInfo.parse(str(info)) == info`."""
        spacing = "" if self.spacing == "uniform" else f"_{self.spacing}"
        return f"{self.method}_{self.steps}_{_decimal(self.eta)}{spacing}"


def _decimal(value: float) -> str:
    """0.25 -> 0p25, without an exponent however small it is."""
    digits = f"{round(Decimal(str(value)), DECIMALS):f}".rstrip("0")
    return (digits + "0" if digits.endswith(".") else digits).replace(".", "p")
