"""What a study is: data sets, variants of a training, and claims about them, all fixed before it is run."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.experiments.cells import Cell
from evaluation import HASH_DIGITS

ROOT = Path(__file__).resolve().parents[2]


class DataSet(NamedTuple):
    """The length of a training, what its small size changes, and the margins of its figures.

    `entry`: that of config.yaml, if it is called otherwise. With a `checkpoint`, nothing is trained: what stands for the
    trainings are sets of its pictures, and a verdict is one on this checkpoint alone. `tuned`: the samplers whose timesteps
    are learned for it first, in a copy. `sets`: how many, if not as many as there are trainings of others. `pictures`: of a
    training or a set, drawn by one sampler; `first_seed`: of the first set.
    """

    steps: int
    settings: tuple[str, ...]
    margins: dict[str, float]
    entry: str | None = None
    checkpoint: str | None = None
    tuned: tuple[str, ...] = ()
    pictures: int = 250
    sets: int | None = None
    first_seed: int = 0


class Row(NamedTuple):
    """A claim: the figure of `first` minus that of `second` (a cell, or a number that is compared with) lies where `kind` says.

    same: within the margin of 0. no_worse: below the margin. less, more: below 0, above 0. improves: below 0, and one of the
    family that Holm's correction is for. margin: the difference that is of no interest.
    """

    data_name: str
    whose: str
    claim: str
    kind: str
    figure: str
    first: Cell
    second: Cell | float
    section: str
    margin: float


class Study(NamedTuple):
    """What is compared. All trainings have the settings `common`, and those of their variant, as KEY=VALUE; `base` is the
    variant by which a record is known. Training k has seed k, and draws the pictures of the seeds from k `seeds_apart` on,
    counted from the data set's first."""

    data: dict[str, DataSet]
    common: tuple[str, ...]
    variants: dict[str, tuple[str, ...]]
    base: str
    trainings: int = 4
    seeds_apart: int = 1000

    def entry_of(self, data_name: str) -> str:
        """The entry of config.yaml."""
        return self.data[data_name].entry or data_name

    def trainings_of(self, data_name: str) -> int:
        """How many there are of a cell, or sets of pictures in their place."""
        return self.data[data_name].sets or self.trainings

    def seeds_of(self, data_name: str, training: int) -> range:
        """Of the pictures that a training draws."""
        data = self.data[data_name]
        first = data.first_seed + training * self.seeds_apart
        return range(first, first + data.pictures)

    def settings_of(self, data_name: str, variant: str) -> list[str]:
        """What a training of a variant is given beside its entry and its seed, as KEY=VALUE."""
        data = self.data[data_name]
        return [*self.common, f"train.max_steps={data.steps}", *data.settings, *self.variants[variant]]

    def design_of(self, data_name: str) -> dict:
        """All that the figures depend on but the variant and the drawing, which name the cells."""
        data = self.data[data_name]
        if data.checkpoint is None:
            of_network = {"steps": data.steps, "settings": self.settings_of(data_name, self.base)}
        else:
            hashed = hashlib.sha256((ROOT / data.checkpoint).read_bytes()).hexdigest()[:HASH_DIGITS]
            of_network = {"checkpoint": data.checkpoint, "sha256": hashed}
        sizes = {"trainings": self.trainings_of(data_name), "pictures": data.pictures, "seeds_apart": self.seeds_apart}
        if data.first_seed:
            sizes["first_seed"] = data.first_seed
        return {"data_name": data_name, **of_network, **sizes}


def cells_of(rows: Sequence[Row]) -> list[Cell]:
    """All cells of the rows, each once: a row has two, or one that is compared with a number."""
    return list(dict.fromkeys(cell for row in rows for cell in (row.first, row.second) if isinstance(cell, Cell)))
