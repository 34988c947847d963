"""The cells of a comparison: a checkpoint drawn from by a sampler, measured once and kept."""

import hashlib
import json
import math
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from datasets import ImageDataset
from diffusion import SampleInfo
from evaluation.appearance import appearance
from evaluation.extractor import Extractor, extractor_for, load_extractor
from evaluation.measures import Figures, draw_pictures, measure, measure_floor
from evaluation.record import summary
from evaluation.reference import Reference, load_reference
from sampling.trained import Trained
from utils.errors import RequestError
from utils.files import atomic_write
from utils.pictures import grid, near_square, save_png

SHEET = 16  # pictures of a cell that are kept to be shown
HASH_DIGITS = 12
DATA_PICTURES = 2048  # of the data, evenly spread, whose appearance is looked at


class Lots(NamedTuple):
    """`repeats` lots of `count` pictures each, of the seeds from `seed` on; all cells of a comparison have the same."""

    seed: int
    count: int
    repeats: int

    def seeds(self) -> list[range]:
        """The seeds of each lot."""
        starts = [self.seed + r * self.count for r in range(self.repeats)]
        return [range(start, start + self.count) for start in starts]


class Judge:
    """What measures the pictures of one data set: always `appearance`; an extractor's figures where it can.

    why_not: why there are no extractor's figures, or "".
    """

    def __init__(
        self,
        data: ImageDataset,
        device: torch.device,
        lots: Lots,
        extractor: str | None = None,
        inception_weights: str | None = None,
    ):
        """For the networks' own `data`. RequestError if an `extractor` is asked for that is not to be had."""
        self.data = data
        self.extractor: Extractor | None = None
        self.reference: Reference | None = None
        self.why_not = ""
        try:
            found = load_extractor(extractor or extractor_for(self.data.source), inception_weights, device)
        except RequestError as error:
            if extractor or inception_weights:
                raise
            found, self.why_not = None, str(error)
        self.images = self.data.load().images
        if found is None:
            return
        if lots.count <= found.dimension:
            self.why_not = f"{found} needs more than {found.dimension} pictures a lot, not {lots.count}"
            return
        self.extractor = found
        self.reference = load_reference(self.data, "train", found, seed=lots.seed)

    def figures(self, pictures: Tensor, seed: int) -> Figures:
        """Of uint8 pictures (N, C, H, W)."""
        found = appearance(pictures)
        if self.extractor is None:
            return found
        return measure(pictures, self.reference.real.features, self.extractor, seed=seed) | found

    def data_figures(self, lots: Lots) -> dict:
        """What real pictures give: their appearance, and with an extractor the floor, of as many held-out ones."""
        some = np.array(self.images[:: math.ceil(len(self.images) / DATA_PICTURES)])
        found = summary([appearance(torch.from_numpy(some))])
        if self.extractor is None:
            return found
        floors = [measure_floor(self.reference, self.extractor, lots.count, seed=r) for r in range(lots.repeats)]
        return summary([floor.figures for floor in floors]) | found

    def describe(self) -> dict[str, str | None]:
        """What the figures depend on: the reference, and the extractor with its hash."""
        if self.extractor is None:
            return {"extractor": None, "reference": None}
        return {"extractor": str(self.extractor), "reference": self.reference.real.name}


def cell_key(trained: Trained, info: SampleInfo, lots: Lots) -> dict:
    """All that a cell's pictures depend on: with any of it changed it is another cell."""
    return {
        "checkpoint": trained.digest[:HASH_DIGITS],
        "weights": trained.weights,
        "sampler": str(info),
        "clip_denoised": trained.diffusion.clip_denoised,
        **lots._asdict(),
        "precision": trained.precision,
    }


class Cell:
    """A cell on disk: its pictures (NAME_SAMPLER_DIGEST.npz), the first of them to look at (.png), its figures (.json)."""

    def __init__(self, folder: Path, trained: Trained, info: SampleInfo, lots: Lots):
        self.trained = trained
        self.info = info
        self.lots = lots
        self.key = cell_key(trained, info, lots)
        digest = hashlib.blake2b(json.dumps(self.key, sort_keys=True).encode(), digest_size=4).hexdigest()
        self.stem = f"{folder}/{trained.name}_{info}_{digest}"
        self.record: dict | None = None

    @property
    def sheet(self) -> Path:
        """The picture of its first pictures."""
        return Path(f"{self.stem}.png")

    def find(self, judge: Judge) -> bool:
        """Takes what was measured before, of just these pictures by just this judge; says whether there was such."""
        try:
            record = json.loads(Path(f"{self.stem}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or damaged: measured again
            return False
        if (
            not isinstance(record, dict)
            or record.get("key") != self.key
            or record.get("measured_by") != judge.describe()
        ):
            return False
        self.record = record
        return self.sheet.is_file()

    def measure(self, judge: Judge, batch_size: int | None, advance) -> None:
        """Draws the pictures, unless they are there, measures them, and keeps all of it."""
        pictures, calls, seconds = self._kept_pictures() or self._draw(batch_size, advance)
        lots = zip(torch.from_numpy(pictures).split(self.lots.count), self.lots.seeds())
        self.record = {
            "model": self.trained.name,
            "step": self.trained.step,
            "key": self.key,
            "measured_by": judge.describe(),
            "network_calls": calls,
            "seconds_a_picture": seconds / len(pictures),
            "device": str(self.trained.device),
            "figures": summary([judge.figures(lot, seeds[0]) for lot, seeds in lots]),
        }
        sheet = torch.from_numpy(pictures[:SHEET])
        save_png(self.sheet, grid(sheet, near_square(len(sheet))))
        with atomic_write(f"{self.stem}.json") as temporary:  # last: a cell is done when it is there
            temporary.write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")

    def _draw(self, batch_size: int | None, advance) -> tuple[np.ndarray, int, float]:
        """All lots, uint8 (N, C, H, W), the network calls of a picture, and the seconds of all."""
        lots = [draw_pictures(self.trained, self.info, seeds, batch_size, advance) for seeds in self.lots.seeds()]
        pictures = torch.cat([lot.pictures for lot in lots]).numpy()
        calls, seconds = lots[0].network_calls, sum(lot.seconds for lot in lots)
        with atomic_write(f"{self.stem}.npz") as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, pictures=pictures, network_calls=calls, seconds=seconds)
        return pictures, calls, seconds

    def _kept_pictures(self) -> tuple[np.ndarray, int, float] | None:
        """What `_draw` kept, or None: another extractor measures the same pictures, which were the long wait."""
        try:
            with np.load(f"{self.stem}.npz", allow_pickle=False) as kept:
                pictures, calls, seconds = kept["pictures"], int(kept["network_calls"]), float(kept["seconds"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        wanted = (self.lots.count * self.lots.repeats, *self.trained.shape)
        return (pictures, calls, seconds) if pictures.shape == wanted and pictures.dtype == np.uint8 else None
