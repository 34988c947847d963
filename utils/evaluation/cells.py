"""The cells of a comparison: a checkpoint drawn from by a sampler, measured once and kept."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets import load_images
from diffusion import SampleInfo
from utils.errors import RequestError
from utils.evaluation.appearance import appearance
from utils.evaluation.extractor import Extractor, extractor_for, load_extractor
from utils.evaluation.measures import Figures, draw_pictures, measure, measure_floor
from utils.evaluation.record import summary
from utils.evaluation.reference import Reference, load_reference
from utils.files import written_whole
from utils.pictures import grid, near_square, save_png
from utils.trained import Trained

SHEET = 16  # pictures of a cell that are kept to be shown
HASH_DIGITS = 12


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

    def __init__(self, trained: Trained, lots: Lots):
        """For the data that `trained` was trained on."""
        self.data = trained.settings.data
        self.extractor: Extractor | None = None
        self.reference: Reference | None = None
        self.why_not = ""
        self.images = load_images(**self.data.model_dump(exclude={"horizontal_flip"}))
        try:
            extractor = load_extractor(extractor_for(self.data.source), None, trained.device)
        except RequestError as error:
            self.why_not = str(error)
            return
        if lots.count <= extractor.dimension:
            self.why_not = f"{extractor} needs more than {extractor.dimension} pictures a lot, not {lots.count}"
            return
        self.extractor = extractor
        self.reference = load_reference(self.data, "train", extractor, seed=lots.seed)

    def figures(self, pictures: Tensor, seed: int) -> Figures:
        """Of uint8 pictures (N, C, H, W)."""
        found = appearance(pictures)
        if self.extractor is None:
            return found
        return measure(pictures, self.reference.real.features, self.extractor, seed=seed) | found

    def data_figures(self, lots: Lots) -> dict:
        """What real pictures give: their appearance, and with an extractor the floor, of as many held-out ones."""
        found = summary([appearance(torch.from_numpy(np.array(self.images)))])
        if self.extractor is None:
            return found
        floors = [measure_floor(self.reference, self.extractor, lots.count, seed=r) for r in range(lots.repeats)]
        return summary([floor.figures for floor in floors]) | found

    def describe(self) -> dict[str, str | None]:
        """What the figures depend on: the reference, and the extractor with its hash."""
        if self.extractor is None:
            return {"extractor": None, "reference": None}
        return {"extractor": str(self.extractor), "reference": self.reference.real.name}


def cell_key(trained: Trained, info: SampleInfo, lots: Lots, judge: Judge) -> dict:
    """All that a cell depends on: with any of it changed it is another cell."""
    return {
        "checkpoint": hashlib.sha256(trained.path.read_bytes()).hexdigest()[:HASH_DIGITS],
        "weights": trained.which,
        "sampler": str(info),
        "clip_denoised": trained.diffusion.clip_denoised,
        **lots._asdict(),
        "precision": trained.precision,
        **judge.describe(),
    }


def cell_path(folder: Path, trained: Trained, key: dict) -> Path:
    """Where the cell is kept, without the ending: NAME_SAMPLER_DIGEST."""
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=4).hexdigest()
    return folder / f"{trained.name}_{key['sampler']}_{digest}"


def kept_cell(path: Path, key: dict) -> dict | None:
    """The cell that was measured before; None if there is none, or not a whole one of just this key."""
    try:
        cell = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
        with Image.open(Path(f"{path}.png")) as sheet:
            sheet.load()
    except (OSError, ValueError):  # not there, or damaged: measured again
        return None
    return cell if isinstance(cell, dict) and cell.get("key") == key else None


def measure_cell(
    path: Path, key: dict, trained: Trained, info: SampleInfo, lots: Lots, judge: Judge, batch_size, advance
) -> dict:
    """Draws and measures a cell, and keeps it: its figures as JSON, its first pictures as a sheet."""
    runs, seconds, sheet = [], 0.0, None
    for seeds in lots.seeds():
        drawn = draw_pictures(trained, info, seeds, batch_size, advance)
        runs.append(judge.figures(drawn.pictures, seeds[0]))
        seconds += drawn.seconds
        sheet = drawn.pictures[:SHEET] if sheet is None else sheet
    cell = {
        "model": trained.name,
        "step": trained.step,
        "key": key,
        "network_calls": drawn.network_calls,
        "seconds_a_picture": seconds / (lots.count * lots.repeats),
        "device": str(trained.device),
        "figures": summary(runs),
    }
    save_png(Path(f"{path}.png"), grid(sheet, near_square(len(sheet))))
    with written_whole(Path(f"{path}.json")) as temporary:  # last: a cell is done when it is there
        temporary.write_text(json.dumps(cell, indent=1) + "\n", encoding="utf-8")
    return cell
