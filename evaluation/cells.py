"""The cells of a comparison: a checkpoint drawn from by a sampler, measured once and kept."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusion import SampleInfo
from evaluation.drawn import Drawn, draw_pictures, measure_sets
from evaluation.picture_metrics import PictureMetrics, SeedSets
from evaluation.record import identity, save_json
from evaluation.sheets import surest_sheet
from sampling.trained import Trained
from utils.distributed import Ranks
from utils.files import atomic_write
from utils.pictures import grid, near_square, save_png

SHEET = 16  # pictures of a cell that are kept to be shown


class Cell:
    """A cell on disk: its pictures (NAME_SAMPLER_DIGEST.npz), the first of them to look at (.png), its record (.json).

    told_apart: those by which they are told from real ones (_told_apart.png), where there are enough to ask.
    """

    def __init__(self, folder: Path, trained: Trained, info: SampleInfo, seed_sets: SeedSets):
        self.trained = trained
        self.info = info
        self.seed_sets = seed_sets
        key = json.dumps(identity(trained, info) | seed_sets._asdict(), sort_keys=True)
        digest = hashlib.blake2b(key.encode(), digest_size=4).hexdigest()
        self.stem = str(folder / f"{trained.name}_{info}_{digest}")
        self.record: dict[str, Any] = {}

    @property
    def sheet(self) -> Path:
        """The picture of its first pictures."""
        return Path(f"{self.stem}.png")

    @property
    def told_apart_sheet(self) -> Path:
        """The picture of those that are told apart most surely."""
        return Path(f"{self.stem}_told_apart.png")

    def find(self, metrics: PictureMetrics) -> bool:
        """Takes what was measured before, of just these pictures by just these metrics; says whether there was such."""
        try:
            record = json.loads(Path(f"{self.stem}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or damaged: measured again
            return False
        wanted = identity(self.trained, self.info) | {"protocol": metrics.protocol(self.seed_sets)}
        if not isinstance(record, dict) or any(record.get(name) != value for name, value in wanted.items()):
            return False
        self.record = record
        return self.sheet.is_file() and (record["told_apart"] is None or self.told_apart_sheet.is_file())

    def measure(
        self,
        metrics: PictureMetrics,
        floor: dict[str, Any],
        batch_size: int | None,
        advance: Callable[[int], object],
        ranks: Ranks,
    ) -> None:
        """Draws the pictures, unless they are there, measures them, and keeps all of it. The ranks share the work."""
        kept = ranks.broadcast_from_rank0(self._kept_pictures)
        pictures, seconds = kept or self._draw(batch_size, advance, ranks)
        share = seconds / self.seed_sets.repeats
        sets = [Drawn(part, share) for part in pictures.split(self.seed_sets.count)]
        self.record, first, _, two_sample = measure_sets(self.trained, self.info, self.seed_sets, sets, metrics, floor)
        if not ranks.is_main:
            return
        texts = {"command": self.record["command"]}
        save_png(self.sheet, grid(pictures[:SHEET], near_square(min(SHEET, len(pictures)))), texts)
        if two_sample is not None:
            save_png(self.told_apart_sheet, surest_sheet(first, two_sample), texts)
        save_json(Path(f"{self.stem}.json"), self.record)  # last: a cell is done when it is there

    def _draw(self, batch_size: int | None, advance: Callable[[int], object], ranks: Ranks) -> Drawn:
        """All sets."""
        ranges = self.seed_sets.ranges()
        drawn = [draw_pictures(self.trained, self.info, seeds, batch_size, advance, ranks) for seeds in ranges]
        pictures, seconds = torch.cat([each.pictures for each in drawn]), sum(each.seconds for each in drawn)
        if ranks.is_main:
            with atomic_write(f"{self.stem}.npz") as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, pictures=pictures.numpy(), seconds=seconds)
        return Drawn(pictures, seconds)

    def _kept_pictures(self) -> Drawn | None:
        """What `_draw` kept, or None: another extractor measures the same pictures, which were the long wait."""
        try:
            with np.load(f"{self.stem}.npz", allow_pickle=False) as kept:
                pictures, seconds = kept["pictures"], float(kept["seconds"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        wanted = (self.seed_sets.total, *self.trained.shape)
        if pictures.shape != wanted or pictures.dtype != np.uint8:
            return None
        kept_pictures: Tensor = torch.from_numpy(pictures)
        return Drawn(kept_pictures, seconds)
