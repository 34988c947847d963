"""All that is measured of a set of pictures, of drawn and of real ones in the same way."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets import ImageDataset
from evaluation.appearance import appearance
from evaluation.extractor import Extractor, Features, check_suits, extractor_for, load_extractor
from evaluation.measures import Figures, class_figures, measure
from evaluation.reading import Reader
from evaluation.record import summary
from evaluation.reference import load_reference
from evaluation.two_sample import LEAST, TwoSampleTest, two_sample_test
from utils.distributed import Ranks
from utils.errors import RequestError

PAPERS_PICTURES = 50_000  # what papers measure FID with: with fewer it is larger
APPEARANCE_PICTURES = 2048  # of the data, evenly spaced, whose appearance is taken


class SeedSets(NamedTuple):
    """`repeats` sets of `count` pictures each, of the seeds from `seed` on; all cells of a comparison have the same."""

    seed: int
    count: int
    repeats: int

    def ranges(self) -> list[range]:
        """The seeds of each set."""
        starts = [self.seed + r * self.count for r in range(self.repeats)]
        return [range(start, start + self.count) for start in starts]

    @property
    def total(self) -> int:
        """The number of pictures of all sets."""
        return self.count * self.repeats


class PictureMetrics:
    """Measures pictures against one data set: always `appearance` and the two-sample test; with an extractor its figures."""

    def __init__(
        self,
        data: ImageDataset,
        extractor: Extractor | None,
        split: str = "train",
        *,
        seed: int = 0,
        ranks: Ranks | None = None,
    ):
        """`split` is what drawn pictures are compared with. RequestError where the data has no such split.

        The `ranks` share the extractor's work, which is the long one; the figures are the main rank's.
        """
        self.extractor = extractor
        self.ranks = ranks
        self.is_main = ranks is None or ranks.is_main
        self.reference = load_reference(data, split, extractor, seed=seed, ranks=ranks)
        self.reader = Reader(extractor, self.reference.held_out_reference)

    def features(self, pictures: Tensor) -> Features | None:
        """Of uint8 pictures (N, C, H, W), the same on all ranks, which share the work; None without an extractor."""
        return None if self.extractor is None else self.extractor(pictures, ranks=self.ranks)

    def figures(self, pictures: Tensor, features: Features | None, seed: int) -> Figures:
        """Of uint8 pictures (N, C, H, W) and their features; `seed` draws the subsets that some figures are taken over.

        Empty but on the main rank.
        """
        if not self.is_main:
            return {}
        found = appearance(pictures)
        if features is None:
            return found
        return measure(features, self.reference.real.features, self.extractor, seed=seed) | found

    def tells_apart(self, count: int) -> bool:
        """Whether `told_apart` is asked of sets of so many pictures."""
        return min(count, len(self.reference.held_out.pictures)) >= LEAST

    def told_apart(self, pictures: Tensor, seed: int) -> TwoSampleTest | None:
        """Whether drawn pictures can be told from held-out real ones; None of too few."""
        return two_sample_test(pictures, _tensor(self.reference.held_out.pictures), seed=seed)

    def protocol(self, seed_sets: SeedSets) -> dict:
        """All that a figure depends on besides the model and its sampler."""
        extractor, real = self.extractor, self.reference.real
        return {
            "pictures": seed_sets.count,
            "seeds": [[seeds[0], seeds[-1]] for seeds in seed_sets.ranges()],
            "repeats": seed_sets.repeats,
            "reference": real.name,
            "reference_pictures": len(real.pictures),
            "held_out": self.reference.held_out.name,
            "extractor": extractor and extractor.name,
            "extractor_sha256": extractor and extractor.hash,
            "features": extractor and extractor.dimension,
            "comparable_with_papers": bool(extractor)
            and extractor.name == "inception"
            and seed_sets.count >= PAPERS_PICTURES,
        }

    def floor(self, seed_sets: SeedSets, is_read: bool = False) -> dict:
        """The floor: what held-out real pictures give, measured as drawn ones are; no model can be expected to be nearer.

        Of as many pictures as the sets have, or of as many as are held out, chosen anew for each repeat; the extractor's
        figures are left out where they are too few for it. The appearance is that of the data as a whole. `is_read`: also how
        many are read as their own class, and by_class, of all that are held out.
        """
        _, held_out, reference = self.reference
        available = len(held_out.pictures)
        count = min(seed_sets.count, available)
        repeats = seed_sets.repeats if seed_sets.count < available else 1  # all of them can be chosen in one way only
        is_read = is_read and held_out.labels is not None and held_out.class_names == reference.class_names
        runs: list[Figures] = []
        if self.extractor is not None and min(count, len(reference.pictures)) >= self.extractor.least:
            for seed in range(seed_sets.seed, seed_sets.seed + repeats):
                part = self.reference.held_out_part(count, seed)
                runs.append(measure(part.features, reference.features, self.extractor, seed=seed))
                if is_read:
                    read = self.reader.answers(part.features, part.labels)["read_as_asked"]
                    runs[-1]["read_as_asked"] = read.double().mean().item()
        data = self.reference.real.pictures
        some = appearance(_tensor(data[:: math.ceil(len(data) / APPEARANCE_PICTURES)]))
        of_class: dict[str, dict] = {}
        if is_read:
            answers = self.reader.answers(held_out.features, held_out.labels)
            of_class["by_class"] = class_figures(answers, held_out.labels, held_out.class_names)
        return {
            "pictures": count,
            "held_out": held_out.name,
            "reference": reference.name,
            "repeats": repeats,
            "figures": (summary(runs) if runs else {}) | summary([some]),
            **of_class,
        }


def find_extractor(
    source: str, name: str | None, inception_weights: str | None, device: torch.device, count: int
) -> tuple[Extractor | None, str]:
    """The extractor `name` (None: the one that suits `source`), or None and why there is none for sets of `count` pictures.

    RequestError if one is asked for by name, or by its weights, that is not to be had.
    """
    if name:
        check_suits(name, source)
    try:
        extractor = load_extractor(name or extractor_for(source, inception_weights), inception_weights, device)
    except RequestError as error:
        if name or inception_weights:
            raise
        return None, str(error)
    if count < extractor.least:
        return None, f"{extractor} needs more than {extractor.least - 1} pictures a set, not {count}"
    return extractor, ""


def _tensor(pictures: np.ndarray) -> Tensor:
    """A copy, as an array that is mapped from a file cannot be written to."""
    return torch.from_numpy(np.array(pictures))
