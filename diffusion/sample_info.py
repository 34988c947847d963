"""The one string that names a sampler: METHOD_STEPS_ETA, as in `DDIM_50_0p0`."""

import re
from dataclasses import dataclass

METHODS = ("DDPM", "DDIM")
RULE = "METHOD_STEPS_ETA, with p for the decimal point of eta, as in DDIM_50_0p0"
PATTERN = re.compile(r"([A-Za-z]+)_([0-9]+)_([0-9]+p[0-9]+)", re.IGNORECASE)


@dataclass(frozen=True)
class SampleInfo:
    """A sampler, completely: `method` (one of METHODS), `steps` (1 or more network calls), `eta` (0 to 1).

    `eta` is DDIM's share of fresh noise (0: deterministic, 1: as much as DDPM); DDPM ignores it.
    """

    method: str
    steps: int
    eta: float

    @classmethod
    def parse(cls, text: str) -> "SampleInfo":
        """Reads `text`, in any case. ValueError names the text, the rule and the known methods."""

        def refuse(why: str) -> ValueError:
            return ValueError(f"sample_info {text!r} {why}; it is written {RULE}; methods: {', '.join(METHODS)}")

        match = PATTERN.fullmatch(text)
        if match is None:
            raise refuse("cannot be read")
        method, steps, eta = match[1].upper(), int(match[2]), float(match[3].lower().replace("p", "."))
        if method not in METHODS:
            raise refuse(f"names an unknown method, {match[1]}")
        if steps < 1:
            raise refuse("asks for no steps")
        if eta > 1:
            raise refuse(f"has an eta of {eta}, outside 0p0 to 1p0")
        return cls(method, steps, eta)

    def __str__(self) -> str:
        """The canonical spelling, which also names the files: `SampleInfo.parse(str(info)) == info`."""
        return f"{self.method}_{self.steps}_{str(self.eta).replace('.', 'p')}"


def parse_sample_info(text: str) -> SampleInfo:
    """`SampleInfo.parse`: reads METHOD_STEPS_ETA. ValueError names the text, the rule and the known methods."""
    return SampleInfo.parse(text)
