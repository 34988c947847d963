"""What is measured: the pictures of a variant, drawn in one way."""

from typing import NamedTuple

BASE = "l2_cosine"  # the variant that all others differ from


class Drawing(NamedTuple):
    """How pictures are made of a training. way: `draw`; `one_step`, DDPM with the posterior of one step at strided times;
    `half_way`, what has become of the noise after half of the steps; or a mode of interpolation, of real pictures noised for
    half of the steps (`ddim`: encoded)."""

    sampler: str = "DPMPP_20_0p0"
    weights: str = "ema"
    clip: bool = True
    way: str = "draw"

    @property
    def key(self) -> str:
        """As in "DPMPP_20_0p0 raw"."""
        return " ".join([self.way] * (self.way != "draw") + [self.sampler] + self.otherwise)

    @property
    def otherwise(self) -> list[str]:
        """In words, what is not as usual."""
        return ["raw"] * (self.weights == "raw") + ["unclipped"] * (not self.clip)

    @property
    def is_drawn(self) -> bool:
        """Whether pictures are drawn from noise."""
        return self.way in ("draw", "one_step")


class Cell(NamedTuple):
    """The pictures of one variant, drawn in one way: one set a training."""

    variant: str = BASE
    drawing: Drawing = Drawing()

    @property
    def key(self) -> str:
        """As in "p2, DPMPP_20_0p0"."""
        return f"{self.variant}, {self.drawing.key}"
